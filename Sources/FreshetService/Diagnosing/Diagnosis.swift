public import Freshet
internal import FreshetReplay
internal import Hiredis

/// A look at everything that goes wrong with such systems: the server, the rights, the groups, replays and databases.
///
/// Nothing is changed, and nothing is read whose cost grows with a stream. Where the user may not look a finding says so, and the
/// rest is looked at.
public struct Diagnosis: Sendable {
    let broker: Broker
    /// After how long without a sign of life consumers are dead.
    let lease: Duration
    /// Services' databases that are looked at as well.
    let databases: [String]
    /// Whose rights are looked at; nil for the user that is connected.
    let user: String?

    /// A diagnosis of what stands in the broker's namespace.
    ///
    /// - Parameters:
    ///   - lease: as the group's consumers have it (`SubscriptionOptions.lease`).
    ///   - databases: URLs of services' databases.
    ///   - user: the ACL user whose rights are looked at; nil for one's own.
    public init(
        of broker: Broker, lease: Duration = .seconds(10), databases: [String] = [], user: String? = nil
    ) {
        self.broker = broker
        self.lease = lease
        self.databases = databases
        self.user = user
    }

    /// Looks at everything; what is worst comes first.
    ///
    /// - Throws: when the server goes away meanwhile.
    public func run() async throws -> [Finding] {
        var findings = ServerFacts.library(headers: HiredisLibrary.headers, file: HiredisLibrary.loadedFile)
        let topics = try await looking("topics", into: &findings) { try await broker.topics() } ?? []
        let sound = try await soundTopics(topics, into: &findings)
        var declarations: [TopicDeclaration] = []
        for topic in sound {
            let declaration = try await looking("topics", at: topic.name.rawValue, into: &findings) {
                try await broker.declaration(of: topic.name)
            }
            if let declaration = declaration ?? nil { declarations.append(declaration) }
        }
        for node in try await nodes(topics, into: &findings) {
            findings += try await server(node, declarations)
        }
        if let found = try await looking("clock", into: &findings, clock) { findings += found }
        findings += try await rights(of: declarations)
        for declaration in declarations {
            findings += try await topic(declaration)
            findings += try await groups(of: declaration)
        }
        findings += try await replays()
        for url in databases { findings += await database(url) }
        return findings.enumerated().sorted {
            ($1.element.severity, $0.offset) < ($0.element.severity, $1.offset)
        }.map(\.element)
    }

    /// What the body finds; when it may not look, or what it finds is not what it should be, a finding that says so, and nil.
    ///
    /// - Throws: when the server goes away.
    func looking<Value>(
        _ check: String, at subject: String = "server", into findings: inout [Finding],
        _ body: () async throws -> Value
    ) async throws -> Value? {
        do { return try await body() } catch {
            let cause = (error as? FreshetError)?.cause ?? error as? RedisError
            if let cause, [.connectionFailed, .connectionLost, .timedOut].contains(cause.code) {
                throw error
            }
            // Within a script the refusal has no code of its own before Redis 7.2.
            let isScripts =
                cause?.message.contains("user executing the script can't") == true
                || cause?.message.contains("ACL failure in script") == true
            if cause?.serverCode == .noPermission || isScripts {
                findings.append(.cannotLook(check, subject, cause?.message ?? "\(error)"))
            } else {
                findings.append(
                    Finding(
                        .warning, check, subject, "cannot look: \(ToolError(error))",
                        remedy: "look again when that is cured: freshet doctor"))
            }
            return nil
        }
    }

    /// One server, and what it says of itself.
    struct Node {
        let name: String
        /// A key of its slots, in a cluster.
        let key: String?
        let info: [String: String]
    }

    /// Asks one server: in a cluster a command without a key goes with the one before it.
    func ask(_ arguments: [String], at key: String?) async throws -> RedisReply {
        var pipeline = RedisPipeline()
        if let key { pipeline.append("EXISTS", key) }
        pipeline.append(arguments: arguments)
        let replies: RedisReplies
        do { replies = try await broker.client.send(pipeline) } catch { throw FreshetError(error) }
        do { return try replies[replies.count - 1].get() } catch { throw FreshetError(error) }
    }

    /// The servers that hold the topics; in a cluster as many as 100 partitions lie on.
    private func nodes(_ topics: [Topic], into findings: inout [Finding]) async throws -> [Node] {
        var keys: [String?] = [nil]
        if case .cluster = broker.client.configuration.servers {
            let logs = topics.flatMap { topic in
                (0..<topic.partitions).map { broker.keys(topic.name, $0).events }
            }
            keys = logs.isEmpty ? [broker.namespace.auditKey] : Array(logs.prefix(100))
        }
        var nodes: [String: Node] = [:]
        for key in keys {
            guard
                let text = try await looking(
                    "info", into: &findings, { try await ask(["INFO"], at: key).string })
            else { return [] }
            let info = ServerFacts.parsed(text ?? "")
            let id = info["run_id"] ?? ""
            guard nodes[id] == nil else { continue }
            let address = key == nil ? nil : try? await self.address(at: key)
            let name = key == nil ? "server" : "server \(address ?? ":\(info["tcp_port"] ?? "?")")"
            nodes[id] = Node(name: name, key: key, info: info)
        }
        return nodes.values.sorted { $0.name < $1.name }
    }

    /// Where a node of a cluster listens, by its own account.
    private func address(at key: String?) async throws -> String? {
        let nodes = try await ask(["CLUSTER", "NODES"], at: key).string ?? ""
        let own = nodes.split(separator: "\n").first { $0.contains("myself") }
        return own?.split(separator: " ").dropFirst().first.map {
            String($0.prefix { $0 != "@" && $0 != "," })
        }
    }
}

extension Finding {
    /// The user may not look.
    static func cannotLook(_ check: String, _ subject: String, _ reason: String) -> Finding {
        var what = reason
        // "... has no permissions to run the 'config|get' command"
        if let start = reason.firstRange(of: "run the '")?.upperBound,
            let end = reason[start...].firstIndex(of: "'")
        {
            what = "ACL lacks \(reason[start..<end].uppercased())"
        }
        return Finding(
            .info, check, subject, "cannot look: \(what)",
            remedy: "run freshet doctor as a user that may, or allow it: ACL SETUSER NAME +...")
    }
}
