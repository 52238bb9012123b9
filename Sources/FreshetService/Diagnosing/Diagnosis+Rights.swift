internal import Freshet
internal import Hiredis

extension Diagnosis {
    /// What the user may not do that publishing and consuming need.
    func rights(of declarations: [TopicDeclaration]) async throws -> [Finding] {
        var findings: [Finding] = []
        let me = try await looking("rights", into: &findings) {
            try await broker.send(RedisCommand("ACL", "WHOAMI")).string
        }
        // A server without ACLs lets everyone do everything; one that does not say who we are is asked by trying.
        let name = user ?? (me ?? nil) ?? broker.client.configuration.user ?? "default"
        findings = []
        let unknown: TopicName = "freshet-doctor"
        var places: [(publish: [RequiredRight], consume: [RequiredRight], subject: String)] = []
        for declaration in declarations.prefix(20) {
            let keys = broker.keys(declaration.topic.name, 0)
            let groups = declaration.groups.prefix(20).map(\.name)
            places.append(
                (
                    RequiredRight.publishing(keys), groups.flatMap { RequiredRight.consuming(keys, $0) },
                    declaration.topic.name.rawValue
                ))
        }
        if places.isEmpty {
            let keys = broker.keys(unknown, 0)
            places = [
                (
                    RequiredRight.publishing(keys), RequiredRight.consuming(keys, "freshet-doctor"),
                    "\(broker.namespace):*"
                )
            ]
        }
        for (publish, consume, subject) in places {
            for rights in [publish, consume] where !rights.isEmpty {
                let denied = try await looking("rights", at: subject, into: &findings) {
                    try await self.denied(rights, to: name)
                }
                guard let denied, let first = denied.first else { continue }
                findings.append(Self.finding(denied, first.right.purpose, name, subject))
            }
        }
        return findings
    }

    private typealias Denied = (right: RequiredRight, isOfKey: Bool)

    private func denied(_ rights: [RequiredRight], to name: String) async throws -> [Denied] {
        var asking = RedisPipeline()
        for right in rights { asking.append(arguments: ["ACL", "DRYRUN", name] + right.command) }
        var asked: [RequiredRight] = rights
        var replies: RedisReplies
        do { replies = try await broker.client.send(asking) } catch { throw FreshetError(error) }
        let refusal = replies.first { _ in true }?.error
        if let refusal {
            guard user == nil else { throw FreshetError(refusal) }
            // Not allowed to ask, or before Redis 7.
            asked = rights.filter(\.isHarmless)
            var trying = RedisPipeline()
            for right in asked { trying.append(arguments: right.command) }
            do { replies = try await broker.client.send(trying) } catch { throw FreshetError(error) }
        }
        var denied: [Denied] = []
        for (right, reply) in zip(asked, replies) {
            let text =
                refusal == nil
                ? reply.string : reply.error?.serverCode == .noPermission ? reply.error?.message : nil
            guard let text, text != "OK", text.contains("permission") || text.contains("NOPERM") else {
                continue
            }
            denied.append((right, isOfKey: !text.contains(" to run the ")))
        }
        return denied
    }

    private static func finding(_ denied: [Denied], _ purpose: String, _ user: String, _ subject: String)
        -> Finding
    {
        var commands: [String] = []
        var keys: [String] = []
        for (right, isOfKey) in denied {
            if !isOfKey {
                if !commands.contains(right.name) { commands.append(right.name) }
            } else if let key = right.command.first(where: { $0.contains("{") }), !keys.contains(key) {
                keys.append(key)
            }
        }
        var lacks: [String] = []
        if !commands.isEmpty { lacks.append("run \(commands.joined(separator: ", "))") }
        if !keys.isEmpty { lacks.append("touch \(keys.joined(separator: ", "))") }
        let rules = commands.map { "'+\($0.lowercased())'" } + keys.map { "'~\($0)'" }
        return Finding(
            .warning, "rights", subject,
            "the user '\(user)' cannot \(purpose): it may not \(lacks.joined(separator: ", nor "))",
            remedy: "if it is to: redis-cli ACL SETUSER \(user) \(rules.joined(separator: " "))")
    }
}
