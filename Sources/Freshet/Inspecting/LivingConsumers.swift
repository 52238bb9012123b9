internal import Hiredis

extension Namespace {
    /// The name of the connection on which a consumer waits for events: CLIENT LIST shows by it that the
    /// consumer lives, and what it reads. Identifiers have no `@`.
    func readerName(_ group: GroupName, _ consumer: String, _ topic: TopicName) -> String {
        "\(self):\(group):\(consumer)@\(topic)"
    }

    /// The same as programs before the topic was added to it have it.
    func formerReaderName(_ group: GroupName, _ consumer: String) -> String {
        "\(self):\(group):\(consumer)"
    }
}

extension Broker {
    /// The consumers of a group that live, or may live, by name. What would be taken from a consumer that
    /// lives must not rest on less: it lives by any of the signs that `ConsumerReport.State` names, and by
    /// its connection also when it holds events that it does not renew (its process may be frozen). Before
    /// Redis 7.2 the streams do not know a consumer that was never given an event: of these only the
    /// connection shows.
    func livingConsumers(of group: GroupName, topic: Topic) async throws(FreshetError) -> [String] {
        // A longer lease than the default may be in use, and a consumer renews what it holds three times a
        // lease.
        let looks = try await groupLooks(
            topic: topic.name, group: group, countingUpTo: 1, lease: .seconds(30))
        let connections = try await readerNames(of: [topic]) ?? []
        var names: Set<String> = []
        for consumer in looks.flatMap(\.consumers) where consumer.state != .dead {
            names.insert(consumer.name)
        }
        let (prefix, suffix) = ("\(namespace):\(group):", "@\(topic.name)")
        for name in connections where name.hasPrefix(prefix) {
            if name.hasSuffix(suffix) {
                names.insert(String(name.dropFirst(prefix.count).dropLast(suffix.count)))
            } else if !name.contains("@") {
                // Of a program that does not say which topic it reads.
                names.insert(String(name.dropFirst(prefix.count)))
            }
        }
        return names.sorted()
    }
}
