internal import ArgumentParser
internal import FoundationEssentials
internal import Freshet
internal import FreshetService
internal import Hiredis

/// `freshet tail`
struct Tail: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Prints a topic's newest events, and with --follow those that come.",
        discussion:
            "As JSON an entry has all its fields; one that is not UTF-8 stands under its name with _base64.")

    @Argument(help: "The topic.") var topic: TopicName
    @Option(help: "How many of the newest events to begin with.") var count: Int = 10
    @Flag(help: "Go on with what comes, until Ctrl-C.") var follow = false
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (0...1_000_000).contains(count) else { throw ValidationError("--count is 0 to 1000000") }
    }

    func run() async throws {
        try await connection.withBroker { broker in
            guard let topic = try await broker.topics().first(where: { $0.name == topic }) else {
                throw ToolError(.failed, "no topic '\(topic)' in '\(broker.namespace)'")
            }
            var newest: [Int: StreamID] = [:]
            var lines: [(StreamID, Line)] = []
            for partition in 0..<topic.partitions {
                for entry in try await broker.newestEntries(
                    of: topic.name, partition: partition, count: count)
                {
                    newest[partition] = max(newest[partition] ?? .zero, entry.id)
                    lines.append((entry.id, Line(entry)))
                }
                if newest[partition] == nil {
                    newest[partition] = try await broker.newest(of: topic.name, partition)
                }
            }
            let first = lines.sorted { $0.0 < $1.0 }.suffix(count).map(\.1)
            if output.kind == .json && !follow {
                print(try OutputOptions.json(first, pretty: true))
            } else {
                for line in first { try show(line) }
            }
            while follow {
                try await Task.sleep(for: .milliseconds(300))
                for partition in 0..<topic.partitions {
                    let after = newest[partition] ?? .zero
                    let key = broker.keys(topic.name, partition).events
                    for try await entry in broker.entries(of: key, in: after ... .newest)
                    where entry.id > after {
                        newest[partition] = entry.id
                        try show(Line(entry))
                    }
                }
            }
        }
    }

    private func show(_ line: Line) throws {
        if output.kind == .table {
            let data = line.fields["data"] ?? line.fields["data_base64"] ?? ""
            print(
                "\(line.id)  \(line.fields["type"] ?? "-")  \(line.fields["partitionkey"] ?? "-")  \(data.prefix(100))"
            )
        } else {
            print(try OutputOptions.json(line, pretty: false))
        }
    }

    struct Line: Encodable {
        let id: String
        var fields: [String: String] = [:]

        init(_ entry: StreamEntry) {
            id = entry.id.description
            var iterator = entry.fields.makeIterator()
            while let name = iterator.next()?.bytes, let value = iterator.next()?.bytes {
                if let text = value.validString {
                    fields[name.string] = text
                } else {
                    fields["\(name.string)_base64"] = Data(value.array).base64EncodedString()
                }
            }
        }
    }
}
