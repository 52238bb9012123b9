internal import ArgumentParser
internal import FoundationEssentials
internal import Freshet
internal import FreshetService

/// `freshet topics`
struct Topics: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Topics: partitions, groups, retention, durability.",
        discussion: """
            Examples:
              freshet topics apply topics.json --dry-run
              freshet topics list --namespace shop
              freshet topics list --format json > topics.json
              freshet topics trim orders
              freshet topics forget orders --group audit
            """,
        subcommands: [Apply.self, List.self, Trim.self, Forget.self])

    struct Apply: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Declares topics as a file says.",
            discussion: """
                The file is what 'list --format json' prints: a list of topics, or an object with such a list as "topics".

                  [{"name": "orders", "partitions": 8, "kind": "log",
                    "groups": [{"name": "payment", "start": "earliest", "ordering": "perKey"}],
                    "retention": {"age": "7d", "count": 1000000, "bytes": 1000000000},
                    "durability": {"replicated": 1, "within": "500ms"},
                    "limit": 5000000}]

                Only the name is needed. kind is log or queue (whose settled events are deleted; one group). A group begins at
                its start (earliest, latest, an RFC 3339 time, a stream id) and from then on keeps what it has not seen.
                durability is "memory", {"replicated": N, "within": TIME} or {"fsynced": true, "within": TIME}. Publishing to a
                partition that holds limit entries is refused. With "archived": true in retention only what is archived is cut
                off (replay archive). retention, limit, and what a group needs are each partition's.

                Partitions, kind and a group's ordering cannot be changed later. Groups that the file does not name stay. When
                anything in the file is wrong nothing is changed.
                """)
        @Argument(help: "The file; - is standard input.") var file: String
        @Flag(help: "Say what would change, and change nothing.") var dryRun = false
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let declarations = try Self.read(file)
            try await connection.withBroker { broker in
                // All are looked at before the first is changed.
                var changes: [TopicChange] = []
                for declaration in declarations {
                    changes += try await broker.declare(declaration, isDryRun: true)
                }
                if !dryRun { for declaration in declarations { try await broker.declare(declaration) } }
                for declaration in declarations {
                    guard let topic = try await broker.topic(named: declaration.topic.name) else { continue }
                    for group in try await broker.groups(of: topic)
                    where !declaration.groups.contains(where: { $0.name == group }) {
                        StandardError.write(
                            "The group '\(group)' of '\(topic.name)' is not in the file; it stays (freshet topics forget)."
                        )
                    }
                }
                if changes.isEmpty { StandardError.write("Everything is so already.") }
                if dryRun, !changes.isEmpty { StandardError.write("Would change:") }
                try output.show(
                    changes,
                    columns: [
                        ("topic", { $0.topic.rawValue }), ("what", { $0.what }),
                        ("from", { $0.from.isEmpty ? "-" : $0.from }),
                        ("to", { $0.to.isEmpty ? "-" : $0.to }),
                    ])
            }
        }

        private static func read(_ path: String) throws -> [TopicDeclaration] {
            let bytes: [UInt8]
            if path == "-" {
                var (lines, all) = (InputLines(), [UInt8]())
                while let chunk = try lines.next() { for (_, line) in chunk { all += line + [10] } }
                bytes = all
            } else {
                do { bytes = Array(try Data(contentsOf: URL(filePath: path))) } catch {
                    throw ToolError(.badData, "\(path): cannot be read")
                }
            }
            if let fault = JSONSyntax.fault(in: bytes) { throw ToolError(.badData, "\(path): \(fault)") }
            do {
                return try TopicDeclaration.list(json: bytes)
            } catch { throw ToolError(.badData, "\(path): \(error.message)") }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists topics with what is declared of them; as JSON, what 'apply' reads.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await connection.withBroker { broker in
                var declarations: [TopicDeclaration] = []
                for topic in try await broker.topics() {
                    if let known = try await broker.declaration(of: topic.name) { declarations.append(known) }
                }
                if declarations.isEmpty {
                    StandardError.write("There are no topics in the namespace '\(broker.namespace)'.")
                }
                try output.show(
                    declarations,
                    columns: [
                        ("topic", { $0.topic.name.rawValue }), ("partitions", { "\($0.topic.partitions)" }),
                        ("kind", { $0.topic.kind.rawValue }),
                        (
                            "groups",
                            { $0.groups.isEmpty ? "-" : $0.groups.map(Self.text).joined(separator: ", ") }
                        ),
                        ("retention", { Self.text($0.retention) }),
                        ("durability", { $0.durability.description }),
                        ("limit", { $0.limit.map(String.init) ?? "-" }),
                    ])
            }
        }

        private static func text(_ group: GroupDeclaration) -> String {
            group.ordering == .perKey ? "\(group.name) (perKey)" : group.name.rawValue
        }

        private static func text(_ retention: Retention) -> String {
            let parts = [
                retention.age?.spelled, retention.count.map { "\($0) entries" },
                retention.bytes.map { "\($0) bytes" }, retention.archivedOnly ? "archived only" : nil,
            ]
            return retention.isUnlimited ? "for ever" : parts.compactMap { $0 }.joined(separator: ", ")
        }
    }

    struct Trim: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Cuts off now what the topic's retention no longer keeps.",
            discussion:
                """
                Consumers do it by themselves every ten seconds, and publishers of a topic without groups every half minute: \
                use this where neither runs. What a group still needs stays, and is said. Exits 2 when partitions were not reached.
                """
        )
        @Argument(help: "The topic.") var topic: TopicName
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await connection.withBroker { broker in
                let known = try await broker.existingTopic(topic)
                let report = try await broker.enforceRetention(of: known)
                if !report.heldBackBy.isEmpty {
                    let names = report.heldBackBy.map(\.rawValue).joined(separator: ", ")
                    StandardError.write("More would go, but these groups still need it: \(names)")
                }
                try output.show(report, sentence: "cut off: \(report.trimmed)")
                if let failure = report.failures.min(by: { $0.key < $1.key }) {
                    throw ToolError(
                        .partlyDone,
                        "\(report.failures.count) of \(known.partitions) partitions were not trimmed; \(failure.key): \(failure.value)"
                    )
                }
            }
        }
    }

    struct Forget: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Removes a group from a topic, with all that it has not settled.",
            discussion: """
                What only this group needed is then no longer kept. Its dead letters and invalid entries stay. A group with a
                consumer that is alive, or may be ('freshet consumers'), is refused. With --force it is not: its consumers then end
                with an error, and one that is started later makes the group anew.
                """)
        @Argument(help: "The topic.") var topic: TopicName
        @Option(help: "The group.") var group: GroupName
        @Flag(help: "Also when consumers are alive: these end with an error.") var force = false
        @OptionGroup var confirmation: ConfirmationOptions
        @OptionGroup var connection: ConnectionOptions

        func run() async throws {
            try await connection.withBroker { broker in
                let topic = try await broker.existingTopic(topic, readBy: group)
                let report = try await broker.groupReports(topic: topic.name, group: group).first
                let waiting =
                    report.map { $0.lagKnown ? "\($0.waiting)" : "more than \($0.waiting)" } ?? "none"
                let plan =
                    "Will forget '\(group)' on '\(topic.name)': waiting \(waiting), pending \(report?.pending ?? 0), "
                    + "delayed \(report?.delayed ?? 0)."
                guard try confirmation.isConfirmed(plan) else { return }
                try await broker.forget(group, of: topic, isForced: force)
            }
        }
    }
}
