internal import Freshet
internal import Hiredis

extension WorkTask {
    static let topic = Topic("measured")
    static let keys = 100_000
    static let namespace: Namespace = "bench"

    /// The log that whole events are on.
    static var log: String { PartitionKeys(namespace: namespace, topic: topic.name, partition: 0).events }

    /// So many events, each with one of 100,000 keys.
    ///
    /// - Parameter traces: which part of the events comes from traces that are recorded; nil when they come from none.
    static func publishEvents(_ count: Int, traces: Double? = nil, on client: RedisClient) async throws {
        let publisher = Publisher(to: topic, on: Broker(client, namespace: namespace))
        for start in stride(from: 0, to: count, by: 500) {
            let events = try (start..<min(start + 500, count)).map { number in
                var event = try Event(Measured.example, source: "bench", key: "order-\(number % keys)")
                event.traceparent = traces.map(NullTraces.traceparent)
                return event
            }
            for result in try await publisher.publish(events) { _ = try result.get() }
        }
    }

    func options(_ ordering: Ordering = .any, concurrency: Int = 256) -> SubscriptionOptions {
        var options = SubscriptionOptions()
        options.concurrency = concurrency
        options.ordering = ordering
        return options
    }

    /// A subscription until all events are handled and acknowledged.
    func deliver(_ kind: DeliveryKind) async throws -> Sample {
        let count = Count(warmUp: warmUp)
        let broker = Broker(client, namespace: Self.namespace)
        let subscription = Subscription(
            to: Self.topic, group: GroupName(unchecked: group), on: broker,
            options: options(kind == .perKey ? .perKey : .any)
        ) {
            if kind == .json {
                On(Measured.self) { payload, _ in count.add(payload.note.utf8.count) }
            } else {
                On("bench.measured") { delivery in count.add(delivery.event.data.count) }
            }
        }
        let sample = try await sample(of: subscription) { count.meter?.sample(events: events) }
        let total = warmUp + events
        guard let sample, count.handled == total, count.bytes % total == 0 else {
            throw BenchError("not every event was handled once")
        }
        return sample
    }

    /// Runs the subscription until it has acknowledged all events, and takes what was measured then.
    func sample<Result: Sendable>(
        of subscription: Subscription, _ take: @escaping @Sendable () throws -> Result?
    ) async throws -> Result? {
        let total = warmUp + events
        return try await withThrowingTaskGroup(of: Result?.self) { tasks in
            tasks.addTask {
                try await subscription.run()
                return nil
            }
            tasks.addTask {
                let alarm = LoopAlarm(on: client.loop)
                while subscription.counters[.acknowledged] < total { await alarm.wait(for: .milliseconds(1)) }
                return try take()
            }
            defer { tasks.cancelAll() }
            return try await tasks.next() ?? nil
        }
    }

    /// A publisher at a steady rate, and how long from just before it publishes until the handler has the event.
    func measureDelivery(rate: Int) async throws -> Sample {
        let count = Count(warmUp: warmUp)
        let broker = Broker(client, namespace: Self.namespace)
        let subscription = Subscription(
            to: Self.topic, group: GroupName(unchecked: group), on: broker, options: options()
        ) {
            On("bench.measured") { delivery in
                let data = delivery.event.data
                count.add(
                    data.count,
                    latency: Double(MonotonicClock.nanoseconds() - Self.stamp(of: data.bytes)) / 1000)
            }
        }
        let publisher = Publisher(to: Self.topic, on: broker)
        let total = warmUp + events
        return try await withThrowingTaskGroup(of: Sample?.self) { tasks in
            tasks.addTask {
                try await subscription.run()
                return nil
            }
            tasks.addTask {
                try await atRate(rate, total) {
                    try await publisher.publish(
                        Event(
                            source: "bench", type: "bench.measured",
                            data: EventData(stamped(at: MonotonicClock.nanoseconds()))))
                }
                let alarm = LoopAlarm(on: client.loop)
                while subscription.counters[.acknowledged] < total { await alarm.wait(for: .milliseconds(1)) }
                var sample = count.meter?.sample(events: events)
                let counted = count.micros.suffix(events).sorted()
                sample?.p50Micros = Self.percentile(500, of: counted)
                sample?.p99Micros = Self.percentile(990, of: counted)
                sample?.p999Micros = Self.percentile(999, of: counted)
                return sample
            }
            defer { tasks.cancelAll() }
            guard let sample = try await tasks.next() ?? nil else {
                throw BenchError("the subscription ended")
            }
            return sample
        }
    }
}
