package import Hiredis

/// One partition for one group at one moment.
package struct PartitionSnapshot: Sendable {
    package struct Stream: Sendable {
        package let length: Int
        package let pending: Int
        package let oldestPending: StreamID?
        package var waiting: EntryCount
        let consumers: [GroupReport.Consumer]
        package let marks: StreamMarks
    }

    /// The server's clock, in seconds since 1970.
    package let time: Double
    package var log: Stream
    package var redelivery: Stream
    package let delayed: Int
    package let dead: Int
    package let invalid: Int

    init(_ reply: RedisReply) throws(FreshetError) {
        guard let parts = reply.array.map(Array.init), parts.count == 7, let seconds = parts[0].integer,
            let microseconds = parts[1].integer, let log = Stream(parts[2]),
            let redelivery = Stream(parts[3]), let delayed = parts[4].integer, let dead = parts[5].integer,
            let invalid = parts[6].integer
        else { throw FreshetError(RedisError(.unexpectedReply, "a snapshot of another shape")) }
        time = Double(seconds) + Double(microseconds) / 1e6
        (self.log, self.redelivery) = (log, redelivery)
        (self.delayed, self.dead, self.invalid) = (delayed, dead, invalid)
    }
}

extension PartitionSnapshot.Stream {
    init?(_ reply: RedisReply) {
        guard let parts = reply.array.map(Array.init), parts.count == 6, let length = parts[0].integer,
            let pending = parts[1].integer, let waiting = EntryCount(parts[3]),
            let marks = StreamMarks(parts[5])
        else { return nil }
        self.length = length
        self.pending = pending
        self.marks = marks
        oldestPending = parts[2].streamID
        self.waiting = waiting
        consumers = (parts[4].array.map(Array.init) ?? []).map { consumer in
            GroupReport.Consumer(
                name: consumer.value(named: "name")?.string ?? "",
                pending: consumer.value(named: "pending")?.integer ?? 0,
                idleSeconds: Double(consumer.value(named: "idle")?.integer ?? 0) / 1000)
        }
    }
}

extension Broker {
    /// How a group stands in one partition. What waits is counted up to about so many.
    package func snapshot(of group: GroupName, _ keys: PartitionKeys, countingUpTo most: Int)
        async throws(FreshetError) -> PartitionSnapshot
    {
        let start = try await send(
            RedisCommand("HGET", namespace.topicKey(keys.topic), "start:\(group):\(keys.partition)"))
        let names = [
            keys.events, keys.redelivery(group), keys.delayed(group), keys.dead(group), keys.invalid(group),
        ]
        var snapshot = try PartitionSnapshot(
            await run(InspectionScripts.snapshot, keys: names, group.rawValue, start.string ?? "0-0"))
        try await count(&snapshot.log.waiting, in: keys.events, upTo: most)
        try await count(&snapshot.redelivery.waiting, in: keys.redelivery(group), upTo: most)
        return snapshot
    }
}
