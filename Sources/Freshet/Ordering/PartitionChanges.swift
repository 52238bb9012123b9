internal import Hiredis
internal import Logging

/// Where the consumers of a group tell each other that partitions are to change hands: somebody has come, or has given some
/// back. Without a word each finds out when it looks the next time, after up to half a lease.
///
/// A stream, read on a connection of its own: the others wait for events. It is no part of any promise. Who misses a word
/// looks later.
final class PartitionChanges: Sendable {
    let alarm: LoopAlarm
    private let key: String
    private let name: ConsumerName
    private let client: RedisClient
    private let reader: RedisClient

    init(of group: GroupName, topic: TopicName, on broker: Broker, for name: ConsumerName) {
        key = broker.namespace.changesKey(topic, group)
        self.name = name
        client = broker.client
        // Not as the readers of events are named, which a rewind wakes.
        reader = broker.client.dedicated(clientName: "\(broker.namespace):changes:\(group):\(name)")
        alarm = LoopAlarm(on: broker.client.loop)
    }

    /// Tells the others.
    func tell() async {
        // Also when it cannot be said: then they look later.
        _ = try? await LeaseScripts.tell.run(
            on: client, keys: [key], arguments: [name.rawValue], timeout: .seconds(1))
    }

    /// Waits for what is told behind this position, and moves it on. Whether another consumer told something.
    func next(after last: inout StreamID) async throws(RedisError) -> Bool {
        let read = try await reader.send(.xread([(key, last)], count: 100, block: .seconds(30)))
        guard let told = read.first?.entries, let newest = told.last else { return false }
        last = newest.id
        return told.contains { $0.field("consumer")?.string != name.rawValue }
    }

    /// Nothing is waited for any more.
    func close() {
        reader.close()
        alarm.ring()
    }
}

/// What a consumer knows of changes, and has not acted upon.
struct PartitionNews {
    /// It looks at once who owns what.
    var isThere = true
    /// The others are to look.
    var isToBeTold = false
    /// It has looked once.
    var hasMet = false
    /// Until then it looks often while there is something to take: two that want the same meet in the middle.
    var isFreshUntil: ContinuousClock.Instant?
}

extension Consumer {
    /// Looks who owns what as soon as another consumer says that this is to change.
    func heed(_ changes: PartitionChanges) async {
        var last = StreamID.zero
        while !isDraining && !Task.isCancelled {
            do throws(RedisError) {
                guard try await changes.next(after: &last) else { continue }
                news.isThere = true
                news.isFreshUntil = clock.now + .seconds(1)
                ownershipAlarm.ring()
            } catch {
                guard error.isRetryable else {
                    if !isDraining {
                        logger.debug(
                            "is not told when partitions change hands", metadata: ["reason": "\(error)"])
                    }
                    return
                }
                await changes.alarm.wait(for: .seconds(1))
            }
        }
    }
}
