internal import Freshet
internal import Hiredis

extension Diagnosis {
    func server(_ node: Node, _ declarations: [TopicDeclaration]) async throws -> [Finding] {
        let (info, name) = (node.info, node.name)
        var findings = ServerFacts.version(info, name)
        let save = try await looking("persistence", at: name, into: &findings) {
            try await ask(["CONFIG", "GET", "save"], at: node.key).array?.dropFirst().first { _ in true }?
                .string
        }
        findings += ServerFacts.persistence(info, save: save ?? nil, name)
        findings += ServerFacts.memory(info, name)
        findings += ServerFacts.replication(info, replicasWanted: replicasWanted(declarations), name)
        try await fsync(declarations, name, into: &findings)
        if info["cluster_enabled"] == "1" {
            let text = try await looking("cluster", at: name, into: &findings) {
                try await ask(["CLUSTER", "INFO"], at: node.key).string
            }
            if let text = text ?? nil { findings += ServerFacts.cluster(ServerFacts.parsed(text), name) }
            if case .cluster = broker.client.configuration.servers {
            } else {
                findings.append(
                    Finding(
                        .critical, "cluster", name,
                        "this is a node of a cluster, and the URL is that of a single server: keys of other nodes are refused",
                        remedy: "REDIS_URL=redis+cluster://HOST,HOST"))
            }
        }
        return findings
    }

    /// The most replicas that a topic's publishing waits for.
    private func replicasWanted(_ declarations: [TopicDeclaration]) -> Int {
        declarations.reduce(0) { most, declaration in
            if case .replicated(let count, _) = declaration.durability { max(most, count) } else { most }
        }
    }

    /// A topic whose publishing waits for the server's disk needs a server that can say when it is there.
    private func fsync(_ declarations: [TopicDeclaration], _ name: String, into findings: inout [Finding])
        async throws
    {
        let topics = declarations.filter { if case .fsynced = $0.durability { true } else { false } }
        guard let first = topics.first else { return }
        let capabilities = try await looking("durability", at: name, into: &findings) {
            try await broker.client.capabilities(keyPrefix: broker.keys(first.topic.name, 0).events)
        }
        guard let capabilities, !capabilities.has(.waitaof) else { return }
        findings.append(
            Finding(
                .critical, "durability", name,
                "'\(first.topic.name)' is declared fsynced, and the server has no WAITAOF: its publishing fails",
                remedy:
                    "upgrade to Redis 7.2 or newer, or Valkey; or apply another durability: freshet topics apply"
            ))
    }

    func clock() async throws -> [Finding] {
        let before = Timestamp.now()
        let server = try await broker.serverTime()
        let after = Timestamp.now()
        func seconds(_ time: Timestamp) -> Double { Double(time.milliseconds) / 1000 }
        return ServerFacts.clock(server: seconds(server), before: seconds(before), after: seconds(after))
    }
}
