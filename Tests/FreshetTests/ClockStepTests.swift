import Freshet
import FreshetTesting
import Hiredis
import Synchronization
import Testing

/// Leases, idle times and pauses go by the server's wall clock. docs/failover.md says what a step of it does;
/// nothing worse happens.
@Suite struct ClockStepTests {
    private struct Hiccup: Error {}

    @Test(arguments: [Ordering.any, .perKey], [3600, -3600])
    func `a step of the server's clock loses nothing and leaves each key in order`(
        ordering: Ordering, seconds: Int
    ) async throws {
        let memory = try InMemoryBroker()
        let history = KeyHistory()
        let epochs = Mutex<[Int: [Int]]>([:])
        var options = options(concurrency: 8, lease: .seconds(10), attempts: 20)
        options.ordering = ordering
        options.breaker.failures = 0
        options.observePartition = { partition, epoch, isOwned in
            if isOwned { epochs.withLock { $0[partition, default: []].append(epoch) } }
        }
        let topic = Topic("orders", partitions: 2)
        let subscriptions = ["one", "two"].map { name in
            Subscription(
                to: topic, group: "a", on: memory.broker, consumer: ConsumerName(unchecked: name),
                options: options
            ) {
                On(Placed.self) { order, delivery in
                    if Int.random(in: 0..<5) == 0 { throw Hiccup() }
                    history.done(delivery.event.partitionKey ?? "", Int(order.orderId) ?? -1)
                }
            }
        }
        func publish(_ numbers: Range<Int>) async throws {
            for number in numbers {
                for key in 0..<10 {
                    let event = try Event(
                        Placed(orderId: "\(number)"), source: "till", id: "k\(key)-\(number)", key: "k\(key)")
                    _ = try await Publisher(to: topic, on: memory.broker).publish(event)
                }
            }
        }
        try await running(subscriptions[0], subscriptions[1]) {
            try await publish(0..<5)
            await memory.advance(by: .seconds(3))
            await memory.stepServerClock(by: .seconds(seconds))
            try await publish(5..<10)
            for _ in 0..<10 { await memory.advance(by: .seconds(5)) }
            try await publish(10..<12)
            // A clock that was set back has to come to what was put off by it.
            for _ in 0..<14 { await memory.advance(by: .seconds(300)) }
            try await eventually("all are handled", within: .seconds(60)) {
                await memory.advance(by: .seconds(5))
                return history.count == 120
            }
            try await memory.settled("a", of: topic)
        }
        if ordering == .perKey {
            #expect(history.disorder == [])
            for (_, epochs) in epochs.withLock({ $0 }) {
                #expect(zip(epochs, epochs.dropFirst()).allSatisfy { $0 < $1 }, "epochs never go down")
            }
        }
    }
}
