internal import Hiredis

/// One thing that a declaration changes about a topic.
public struct TopicChange: Sendable, Hashable, Codable {
    /// The topic.
    public let topic: TopicName
    /// What changes: `partitions`, `kind`, `retention.age`, `group payment`, ...
    public let what: String
    /// What it was; empty when there was nothing.
    public let from: String
    /// What it is now; empty when there is nothing any more.
    public let to: String
}

extension Broker {
    /// Declares a topic: makes what it says so, and its groups from where they are to start. What is so already stays; the
    /// position of a group that exists is not moved.
    ///
    /// A group that the declaration does not name is kept: it may have work to do. See `forget`.
    ///
    /// - Parameter isDryRun: only says what would change.
    /// - Returns: what changes; nothing when all is so already.
    /// - Throws: `refused` for what cannot be changed: partitions, since each key has its own, the kind, and a group's ordering.
    @discardableResult
    public func declare(_ declaration: TopicDeclaration, isDryRun: Bool = false) async throws(FreshetError)
        -> [TopicChange]
    {
        let topic = declaration.topic
        let key = namespace.topicKey(topic.name)
        let known = try await fields(of: topic.name)
        try refuseChange(of: "number of partitions", known["partitions"], to: "\(topic.partitions)", key)
        try refuseChange(of: "kind", known["kind"], to: topic.kind.rawValue, key)
        for group in declaration.groups {
            guard let ordering = group.ordering else { continue }
            try refuseChange(
                of: "ordering of '\(group.name)'", known["order:\(group.name)"], to: ordering.rawValue, key)
        }
        var wanted = declaration.settings
        wanted["partitions"] = "\(topic.partitions)"
        wanted["kind"] = topic.kind.rawValue
        var changes: [TopicChange] = []
        for name in Set(wanted.keys).union(TopicDeclaration.settingNames).sorted() {
            let (before, after) = (known[name] ?? "", wanted[name] ?? "")
            if before != after {
                changes.append(TopicChange(topic: topic.name, what: name, from: before, to: after))
            }
        }
        for group in declaration.groups {
            let isThere = (0..<topic.partitions).allSatisfy { known["start:\(group.name):\($0)"] != nil }
            if !isThere {
                changes.append(
                    TopicChange(
                        topic: topic.name, what: "group \(group.name)", from: "", to: group.start.description)
                )
            }
        }
        if isDryRun { return changes }
        for change in changes where !change.what.hasPrefix("group ") {
            let command =
                change.to.isEmpty
                ? RedisCommand<RedisReply>("HDEL", key, change.what)
                : RedisCommand("HSET", key, change.what, change.to)
            _ = try await send(command)
        }
        for group in declaration.groups {
            _ = try await ensureGroup(group.name, of: topic, from: group.start, ordering: group.ordering)
        }
        return changes
    }

    /// What is declared of a topic; nil when it does not exist.
    public func declaration(of name: TopicName) async throws(FreshetError) -> TopicDeclaration? {
        guard let topic = try await topic(named: name) else { return nil }
        let known = try await fields(of: name)
        var declaration = TopicDeclaration(topic)
        for group in try await groups(of: topic) {
            let start = known["start:\(group):0"].flatMap { StreamID($0) } ?? .zero
            declaration.groups.append(
                GroupDeclaration(
                    group, from: start == .zero ? .earliest : start.successor.map { .id($0) } ?? .latest,
                    ordering: known["order:\(group)"].flatMap(Ordering.init)))
        }
        declaration.settings = known
        return declaration
    }

    /// Removes a group from a topic with all that it has not settled; its dead letters and invalid entries stay. What only
    /// this group needed is no longer kept.
    ///
    /// The topic's hash says so (`forgotten:<group>`) until a program starts that reads the topic as this
    /// group, or declares it. A consumer that runs on meanwhile ends with an error; otherwise it would make
    /// the group anew and handle all history again.
    ///
    /// - Parameter isForced: whether consumers of the group may be alive.
    /// - Throws: `refused` while consumers of the group live, or may; nothing is changed then.
    public func forget(_ group: GroupName, of topic: Topic, isForced: Bool = false) async throws(FreshetError)
    {
        if !isForced, let living = try await livingConsumers(of: group, topic: topic).first {
            throw FreshetError(
                .refused,
                "the consumer '\(living)' of '\(group)' on '\(topic.name)' is alive, or may be: stop it first"
            )
        }
        let key = namespace.topicKey(topic.name)
        // Before anything is gone: a consumer that misses the group looks here.
        let now = try await serverTime()
        _ = try await send(RedisCommand("HSET", key, Self.forgottenField(group), now.description))
        for partition in 0..<topic.partitions {
            let keys = keys(topic.name, partition)
            do {
                _ = try await client.send(.xgroupDestroy(keys.events, group.rawValue))
            } catch  where error.message.contains("requires the key to exist") {
            } catch { throw FreshetError(error) }
            for key in [
                keys.redelivery(group), keys.delayed(group), keys.lease(group), keys.sweep(group),
            ] {
                _ = try await send(RedisCommand("DEL", key))
            }
            _ = try await send(RedisCommand("HDEL", key, "start:\(group):\(partition)"))
        }
        _ = try await send(
            RedisCommand("HDEL", key, "order:\(group)", Self.handledField(group), Self.madeField(group)))
        _ = try await send(RedisCommand("DEL", namespace.membersKey(topic.name, group)))
        let reader = try await send(RedisCommand("HGET", key, "queue")).string
        if reader == group.rawValue { _ = try await send(RedisCommand("HDEL", key, "queue")) }
    }

    static func forgottenField(_ group: GroupName) -> String { "forgotten:\(group)" }

    /// What the topic's hash says.
    package func fields(of name: TopicName) async throws(FreshetError) -> [String: String] {
        let reply = try await send(RedisCommand("HGETALL", namespace.topicKey(name)))
        let texts = reply.array?.map { $0.string ?? "" } ?? []
        return Dictionary(
            stride(from: 0, to: texts.count - 1, by: 2).map { (texts[$0], texts[$0 + 1]) },
            uniquingKeysWith: { first, _ in first })
    }

    private func refuseChange(of what: String, _ known: String?, to wanted: String, _ key: String)
        throws(FreshetError)
    {
        guard let known, known != wanted else { return }
        throw FreshetError(.refused, "the \(what) of \(key) is \(known) and cannot become \(wanted)")
    }
}

extension TopicDeclaration {
    static let settingNames = [
        "durability", "limit", "retention.age", "retention.archived", "retention.bytes", "retention.count",
    ]

    /// What the topic's hash holds of it, by field.
    var settings: [String: String] {
        get {
            var settings: [String: String] = [:]
            if durability != .memory { settings["durability"] = durability.description }
            settings["limit"] = limit.map(String.init)
            settings["retention.age"] = retention.age?.spelled
            if retention.archivedOnly { settings["retention.archived"] = "true" }
            settings["retention.bytes"] = retention.bytes.map(String.init)
            settings["retention.count"] = retention.count.map(String.init)
            return settings
        }
        set {
            durability = newValue["durability"].flatMap { Durability($0) } ?? .memory
            limit = newValue["limit"].flatMap { Int($0) }
            retention = Retention(newValue)
        }
    }
}

extension Retention {
    init(_ settings: [String: String]) {
        self.init(
            age: settings["retention.age"].flatMap { Duration(spelled: $0) },
            count: settings["retention.count"].flatMap { Int($0) },
            bytes: settings["retention.bytes"].flatMap { Int($0) },
            archivedOnly: settings["retention.archived"] == "true")
    }
}
