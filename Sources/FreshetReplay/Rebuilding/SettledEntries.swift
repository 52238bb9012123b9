package import Freshet
package import Hiredis

/// What a group has settled of a partition's log, as the server says: what it was given, except of what it has not done with. That is
/// what is pending, waits to be tried again or to be redelivered, was given up, or could not be read.
package struct SettledEntries: Sendable {
    /// The last entry before the group's start.
    package let start: StreamID
    /// The last entry that the group was given.
    package let delivered: StreamID
    let open: Set<StreamID>

    /// Whether the group has done with the entry.
    package func contains(_ id: StreamID) -> Bool { id > start && id <= delivered && !open.contains(id) }

    /// Of a group that does not exist: it has done nothing.
    package static let none = SettledEntries(start: .zero, delivered: .zero, open: [])
}

extension Broker {
    /// What a group has settled of a partition by now. What it settles meanwhile may count or not.
    package func settledEntries(of group: GroupName, topic: Topic, partition: Int) async throws
        -> SettledEntries
    {
        guard
            let delivered = try await position(of: group, topic: topic.name, partition: partition)?.delivered
        else { return .none }
        let field = "start:\(group):\(partition)"
        let start = try await client.send(RedisCommand("HGET", namespace.topicKey(topic.name), field))
            .streamID
        let keys = keys(topic.name, partition)
        var open: Set<StreamID> = []
        // Given up is mostly for good; what an operator brings back meanwhile was seen here.
        for key in [keys.dead(group), keys.invalid(group)] { try await add(originalsOf: key, to: &open) }
        // What is under way goes from one of these to the next, and back: each is looked at between two looks at the others.
        for _ in 0..<2 {
            try await add(retriesOf: group, topic, partition, to: &open)
            try await add(pendingOf: keys.events, group, to: &open)
            try await add(originalsOf: keys.redelivery(group), to: &open)
        }
        try await add(retriesOf: group, topic, partition, to: &open)
        for key in [keys.dead(group), keys.invalid(group)] { try await add(originalsOf: key, to: &open) }
        return SettledEntries(start: start ?? .zero, delivered: delivered, open: open)
    }

    private func add(originalsOf key: String, to open: inout Set<StreamID>) async throws {
        for try await entry in entries(of: key) {
            if let id = entry.originalID { open.insert(id) }
        }
    }

    private func add(pendingOf key: String, _ group: GroupName, to open: inout Set<StreamID>) async throws {
        var next: StreamID? = .zero
        while let from = next {
            let page = try await client.send(
                .xpending(key, group.rawValue, from ... .newest, count: 1000))
            open.formUnion(page.map(\.id))
            next = page.count < 1000 ? nil : page.last?.id.successor
        }
    }

    private func add(
        retriesOf group: GroupName, _ topic: Topic, _ partition: Int, to open: inout Set<StreamID>
    ) async throws {
        try await forEachRetry(of: group, topic: topic) { retry in
            if retry.partition == partition, let id = retry.position { open.insert(id) }
            return true
        }
    }
}
