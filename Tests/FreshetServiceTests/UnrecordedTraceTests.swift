import Freshet
import FreshetTesting
import Hiredis
import Synchronization
import Testing
import Tracing

@testable import FreshetService

/// Events of traces that are not recorded, under a tracer that follows its parents: nothing is recorded, and their context goes on.
@Suite struct UnrecordedTraceTests {
    /// What a handler finds, whose events come one after the other in one lane.
    private struct Seen: Sendable {
        var delivery: String?
        var current: String?
        var child: TraceContext?
        var isRecorded = false
    }

    private static func traceparent(_ number: Int, _ isSampled: Bool) -> String {
        "00-\(String(repeating: "\(number)", count: 32))-\(String(repeating: "b", count: 16))-0\(isSampled ? 1 : 0)"
    }

    @Test func `they go on as they came, beside those that are recorded`() async throws {
        try await withRedisServer { server in
            let client = RedisClient(try RedisConfiguration(url: server.url))
            defer { client.close() }
            let queue = SpanQueue(capacity: 100, batch: 100)
            let tracer = ServiceTracer(.parentBased(root: .alwaysOn), to: queue)
            let plain = Broker(client, namespace: "test")
            let traced = Broker(client, namespace: "test", tracer: tracer)
            let sent = [false, true, false, false].enumerated().map { Self.traceparent($0 + 1, $1) }
            for (number, traceparent) in sent.enumerated() {
                var event = Event(
                    id: "\(number)", source: "test", type: "note.taken", partitionKey: "k", data: "{}")
                event.traceparent = traceparent
                try await Publisher(to: Topic("notes"), on: plain).publish(event)
            }
            let seen = Record<Seen>()
            let answers = Publisher(to: Topic("answers"), on: traced)
            var options = SubscriptionOptions()
            options.concurrency = 1
            let subscription = Subscription(
                to: Topic("notes"), group: "g", from: .earliest, on: traced, options: options
            ) {
                On("note.taken") { delivery in
                    let child = tracer.startSpan("work", context: .current ?? .topLevel)
                    child.end()
                    seen.add(
                        Seen(
                            delivery: delivery.traceparent,
                            current: ServiceContext.current?.trace?.traceparent,
                            child: child.context.trace, isRecorded: child.isRecording))
                    try await answers.publish(
                        Event(id: delivery.event.id, source: "test", type: "note.answered", data: "{}"))
                }
            }
            try await running(subscription) {
                try await eventually("all are handled") { seen.all.count == sent.count }
            }
            for (number, found) in seen.all.enumerated() where number != 1 {
                #expect(found.delivery == sent[number] && found.current == sent[number])
                #expect(found.child?.traceparent == sent[number])
            }
            let recorded = seen.all[1]
            let own = try #require(recorded.current.flatMap(TraceContext.init(traceparent:)))
            #expect(own.isSampled && own.traceID.low == 0x2222_2222_2222_2222 && recorded.current != sent[1])
            #expect(recorded.child?.traceID.low == own.traceID.low && recorded.child?.spanID != own.spanID)
            let spans = queue.take()
            #expect(spans.count == 4, "process, work, publish, settle")
            #expect(spans.allSatisfy { $0.context.traceID.low == own.traceID.low })
            let published = try await client.send(.xrange("test:events:{answers:0}"))
            let traces = published.map { $0.field("traceparent")?.string }
            #expect(traces.count == 4)
            for number in [0, 2, 3] { #expect(traces[number] == sent[number]) }
            #expect(traces[1]?.hasPrefix("00-\(String(repeating: "2", count: 32))") ?? false)
        }
    }

    @Test func `a tracer that decides for itself is asked`() {
        #expect(
            ServiceTracer(.parentBased(root: .alwaysOff), to: SpanQueue(capacity: 1, batch: 1)).followsParents
        )
        for sampler in [TraceSampler.alwaysOn, .alwaysOff, .ratio(0.5)] {
            #expect(!ServiceTracer(sampler, to: SpanQueue(capacity: 1, batch: 1)).followsParents)
        }
    }
}
