import Freshet
import FreshetTesting
import Hiredis
import InMemoryTracing
import Synchronization
import Testing
import Tracing

private struct Refused: Error {}

/// Spans of publishing, handling and settling, and how a trace goes on from one service to the next.
@Suite struct TracingTests {
    /// A broker whose spans are recorded, and one that is not traced, on a server of the test's own.
    static func withTracer(
        _ body: (Broker, TraceRecorder, Rig) async throws -> Void
    ) async throws {
        try await Rig.with { rig in
            let tracer = TraceRecorder()
            try await body(Broker(rig.client, namespace: "test", tracer: tracer), tracer, rig)
        }
    }

    static func order(_ id: String, causedBy cause: Event? = nil) throws -> Event {
        try Event(Placed(orderId: id), source: "till", id: id, key: id, causedBy: cause)
    }

    @Test func `an event's publishing, handling and settling are one trace, named by the conventions`()
        async throws
    {
        try await Self.withTracer { broker, tracer, rig in
            let seen = Mutex<Delivery?>(nil)
            let subscription = Subscription(
                to: .orders, group: "payment", on: broker, consumer: "p1", options: options()
            ) {
                On(Placed.self) { _, delivery in seen.withLock { $0 = delivery } }
            }
            try await running(subscription) {
                try await Publisher(to: .orders, on: broker).publish(Self.order("o1"))
                try await eventually("settled") { tracer.spans("settle orders").count == 1 }
            }
            let publish = try #require(tracer.spans("publish orders").first)
            let process = try #require(tracer.spans("process orders").first)
            let settle = try #require(tracer.spans("settle orders").first)
            #expect(publish.kind == .producer && process.kind == .consumer && settle.kind == .client)
            #expect(publish.parentSpanID == nil && process.parentSpanID == publish.spanID)
            #expect(settle.parentSpanID == process.spanID && settle.traceID == publish.traceID)
            #expect(tracer.memory.finishedSpans.count == 3)
            for (span, name, type) in [
                (publish, "publish", "send"), (process, "process", "process"), (settle, "settle", "settle"),
            ] {
                #expect(span.attributes.get("messaging.system") == "redis")
                #expect(span.attributes.get("messaging.destination.name") == "orders")
                #expect(span.attributes.get("messaging.destination.partition.id") == "0")
                #expect(span.attributes.get("messaging.operation.name") == .string(name))
                #expect(span.attributes.get("messaging.operation.type") == .string(type))
                #expect(span.attributes.get("messaging.message.id") == "o1")
                #expect(span.attributes.get("messaging.message.conversation_id") == "o1")
                #expect(span.attributes.get("messaging.batch.message_count") == nil)
                #expect(span.links.isEmpty && span.errors.isEmpty && span.status == nil)
            }
            #expect(publish.attributes.get("messaging.consumer.group.name") == nil)
            #expect(process.attributes.get("messaging.consumer.group.name") == "payment")
            #expect(process.attributes.get("messaging.client.id") == "p1")
            #expect(settle.attributes.get("freshet.outcome") == "acknowledged")
            let delivery = try #require(seen.withLock { $0 })
            #expect(delivery.event.traceparent == publish.traceparent)
            #expect(delivery.traceparent == process.traceparent)
            let entry = try await rig.entries(rig.keys.events)[0]
            #expect(String(decoding: entry["traceparent"] ?? [], as: UTF8.self) == publish.traceparent)
        }
    }

    @Test func `what a handler publishes goes on with its trace, caused by the event or not`() async throws {
        try await Self.withTracer { broker, tracer, _ in
            let second = Publisher(to: Topic("payments"), on: broker)
            let subscription = Subscription(to: .orders, group: "payment", on: broker, options: options()) {
                On(Placed.self) { order, delivery in
                    try await second.publish(Self.order("caused", causedBy: delivery.event))
                    try await second.publish(Self.order("new"))
                    tracer.withSpan("charge") { _ in }
                }
            }
            try await running(subscription) {
                try await Publisher(to: .orders, on: broker).publish(Self.order("o1"))
                try await eventually("settled") { tracer.spans("settle orders").count == 1 }
            }
            let process = try #require(tracer.spans("process orders").first)
            let published = tracer.spans("publish payments")
            #expect(published.count == 2)
            for span in published + tracer.spans("charge") {
                #expect(span.parentSpanID == process.spanID && span.traceID == process.traceID)
            }
            #expect(tracer.spans("charge").count == 1)
        }
    }

    @Test func `a retry stays in the trace, and its failure is recorded`() async throws {
        try await Self.withTracer { broker, tracer, _ in
            let subscription = Subscription(
                to: .orders, group: "payment", on: broker, options: options(attempts: 2)
            ) {
                On(Placed.self) { _, _ in throw Refused() }
            }
            try await running(subscription) {
                try await Publisher(to: .orders, on: broker).publish(Self.order("o1"))
                try await eventually("dead") { tracer.spans("settle orders").count == 2 }
            }
            let publish = try #require(tracer.spans("publish orders").first)
            let attempts = tracer.spans("process orders")
            #expect(attempts.count == 2)
            for attempt in attempts {
                #expect(attempt.parentSpanID == publish.spanID && attempt.links.isEmpty)
                #expect(attempt.status?.code == .error && attempt.errors.first?.error is Refused)
                #expect(attempt.attributes.get("error.type") == "Refused")
            }
            #expect(attempts.map { $0.attributes.get("freshet.attempt") } == [nil, 2])
            let outcomes = tracer.spans("settle orders").map { $0.attributes.get("freshet.outcome") }
            #expect(outcomes == ["scheduled", "dead"])
            #expect(tracer.spans("settle orders").map(\.parentSpanID) == attempts.map(\.spanID))
        }
    }

    @Test func `what a replay brings, and what is handled late, is a trace of its own with a link`()
        async throws
    {
        try await Self.withTracer { broker, tracer, rig in
            let traceparent =
                "00-\(String(repeating: "a", count: 32))-\(String(repeating: "b", count: 16))-01"
            func entry(_ id: String, _ sampled: Bool = true, _ more: [String] = []) -> [String] {
                [
                    "specversion", "1.0", "id", id, "source", "till", "type", "order.placed", "traceparent",
                    sampled ? traceparent : traceparent.dropLast() + "0", "data", #"{"orderId":"o"}"#,
                ] + more
            }
            func add(_ key: String, _ position: String, _ fields: [String]) async throws {
                let arguments: [any RedisArgument] = ["XADD", key, position] + fields
                try await rig.client.send(RedisCommand(arguments: arguments))
            }
            let subscription = Subscription(to: .orders, group: "payment", on: broker, options: options()) {
                On(Placed.self) { _, _ in }
            }
            // An hour after 1970.
            try await add(rig.keys.events, "3600000-0", entry("late"))
            try await add(rig.keys.events, "3600001-0", entry("late and not sampled", false))
            try await running(subscription) {
                try await eventually("settled") { tracer.spans("settle orders").count == 2 }
                let now = try await broker.serverTime().milliseconds
                try await add(
                    rig.keys.redelivery("payment"), "*",
                    entry("again", true, ["freshetoriginalid", "\(now)-0", "freshetreplay", "r1"]))
                try await eventually("replayed") { tracer.spans("settle orders").count == 3 }
            }
            let spans = tracer.spans("process orders")
            func span(_ id: String) throws -> FinishedInMemorySpan {
                try #require(spans.first { $0.attributes.get("messaging.message.id") == .string(id) })
            }
            for id in ["late", "again"] {
                let span = try span(id)
                #expect(span.parentSpanID == nil && !traceparent.contains(span.traceID))
                #expect(span.links.count == 1)
                let link = span.links.first?.context.inMemorySpanContext
                #expect(link.map { "00-\($0.traceID)-\($0.spanID)-01" } == traceparent)
            }
            #expect(try span("again").attributes.get("freshet.replay.id") == "r1")
            // Its tracer decides: as a child it knows that the trace is not recorded.
            let other = try span("late and not sampled")
            #expect(other.links.isEmpty && traceparent.contains(other.traceID))
        }
    }

    @Test func `a batch is one span with a link for each event, and each event's story goes on by itself`()
        async throws
    {
        try await Self.withTracer { broker, tracer, _ in
            let traceparents = Mutex<[String?]>([])
            let subscription = Subscription(to: .orders, group: "payment", on: broker, options: options()) {
                OnBatch(Placed.self, upTo: 3, within: .seconds(30)) { orders in
                    traceparents.withLock { $0 = orders.map(\.delivery.traceparent) }
                }
            }
            try await running(subscription) {
                let publisher = Publisher(to: .orders, on: broker)
                for id in ["a", "b"] { try await publisher.publish(Self.order(id)) }
                for result in try await publisher.publish([Self.order("c")]) { _ = try result.get() }
                try await eventually("settled") { tracer.spans("settle orders").count == 1 }
            }
            let published = tracer.spans("publish orders")
            let process = try #require(tracer.spans("process orders").first)
            #expect(
                process.parentSpanID == nil && process.attributes.get("messaging.batch.message_count") == 3)
            #expect(process.attributes.get("messaging.message.id") == nil)
            #expect(
                process.links.compactMap { $0.context.inMemorySpanContext?.spanID } == published.map(\.spanID)
            )
            #expect(traceparents.withLock { $0 } == published.map(\.traceparent))
            let settle = try #require(tracer.spans("settle orders").first)
            #expect(settle.parentSpanID == process.spanID)
            #expect(settle.attributes.get("messaging.batch.message_count") == 3)
        }
    }

    @Test func `events that are published together share a span, or each go on with their own trace`()
        async throws
    {
        try await Self.withTracer { broker, tracer, rig in
            let publisher = Publisher(to: .orders, on: broker)
            for result in try await publisher.publish([Self.order("a"), Self.order("b")]) {
                _ = try result.get()
            }
            let first = try #require(tracer.spans("publish orders").first)
            #expect(tracer.spans("publish orders").count == 1)
            #expect(first.attributes.get("messaging.batch.message_count") == 2)
            tracer.memory.clearFinishedSpans()
            let parents = ["1", "2"].map {
                "00-\(String(repeating: $0, count: 32))-\(String(repeating: "c", count: 16))-01"
            }
            var events = [try Self.order("c"), try Self.order("d"), try Self.order("e")]
            for (index, parent) in [parents[0], parents[1], parents[0]].enumerated() {
                events[index].traceparent = parent
            }
            _ = try await publisher.publish(
                OutboxBatch(
                    outbox: "o", partition: 0, mark: 1, previous: 0, events: events.map { ($0, nil) }))
            let spans = tracer.spans("publish orders")
            #expect(spans.map(\.traceID) == ["1", "2"].map { String(repeating: $0, count: 32) })
            #expect(spans.map(\.parentSpanID) == [nil, nil].map { _ in String(repeating: "c", count: 16) })
            let written = try await rig.entries(rig.keys.events).map {
                String(decoding: $0["traceparent"] ?? [], as: UTF8.self)
            }
            let own = spans.map(\.traceparent)
            #expect(written == [first.traceparent, first.traceparent, own[0], own[1], own[0]])
        }
    }

    @Test
    func `a payload that cannot be read ends a span with the reason, and without a tracer there is nothing`()
        async throws
    {
        try await Self.withTracer { broker, tracer, rig in
            let plain = Publisher(to: .orders, on: rig.broker)
            try await plain.publish(Event(source: "till", type: "order.placed", data: "[]"))
            #expect(tracer.memory.finishedSpans.isEmpty)
            #expect(try await rig.entries(rig.keys.events)[0]["traceparent"] == nil)
            let subscription = Subscription(to: .orders, group: "payment", on: broker, options: options()) {
                On(Placed.self) { _, _ in }
            }
            try await running(subscription) {
                try await eventually("settled") { tracer.spans("settle orders").count == 1 }
            }
            let process = try #require(tracer.spans("process orders").first)
            #expect(process.attributes.get("error.type") == "invalid data" && process.status?.code == .error)
            #expect(tracer.spans("settle orders")[0].attributes.get("freshet.outcome") == "invalid")
        }
    }
}
