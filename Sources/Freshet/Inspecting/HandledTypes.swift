internal import Hiredis

extension Broker {
    /// For which deliveries a group's consumers have handlers, by type, as one of them said when it started; nil when none has said
    /// so. Types without a handler are not in it.
    public func handledTypes(of group: GroupName, topic: TopicName) async throws(FreshetError)
        -> [EventType: DeliveryKinds]?
    {
        let text = try await send(RedisCommand("HGET", namespace.topicKey(topic), Self.handledField(group)))
        guard let text = text.string else { return nil }
        let kinds = try JSON.decode([String: DeliveryKinds].self, from: EventData(Array(text.utf8)))
        return Dictionary(uniqueKeysWithValues: kinds.map { (EventType(unchecked: $0.key), $0.value) })
    }

    func note(_ kinds: [EventType: DeliveryKinds], of group: GroupName, topic: TopicName)
        async throws(FreshetError)
    {
        let named = Dictionary(uniqueKeysWithValues: kinds.map { ($0.key.rawValue, $0.value) })
        let text = String(decoding: try JSON.encode(named), as: UTF8.self)
        _ = try await send(RedisCommand("HSET", namespace.topicKey(topic), Self.handledField(group), text))
    }

    static func handledField(_ group: GroupName) -> String { "handlers:\(group)" }
}
