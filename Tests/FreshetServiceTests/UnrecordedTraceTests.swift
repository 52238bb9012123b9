import Freshet
import FreshetTesting
import Hiredis
import Synchronization
import Testing
import Tracing

@testable import FreshetService

/// Events of traces that are not recorded, under a tracer that follows its parents: nothing is recorded, and their context goes on.
@Suite struct UnrecordedTraceTests {
    /// What a handler finds.
    private struct Seen: Sendable {
        var delivery: String?
        var current: String?
        var lane: String?
        var child: Traceparent?
        var isRecorded = false
    }

    private struct Rig {
        let client: RedisClient
        let queue = SpanQueue(capacity: 100, batch: 100)
        let tracer: ServiceTracer
        let traced: Broker

        init(_ client: RedisClient) {
            self.client = client
            tracer = ServiceTracer(.parentBased(root: .alwaysOn), to: queue)
            traced = Broker(client, namespace: "test", tracer: tracer)
        }

        /// Events with these traceparents, which come one after the other in one lane; what each handler finds, and what it published.
        func handle(_ traceparents: [String?], _ work: @escaping @Sendable (Int) -> Void = { _ in })
            async throws -> (seen: [Seen], published: [String?])
        {
            for (number, traceparent) in traceparents.enumerated() {
                var event = Event(id: "\(number)", source: "test", type: "note.taken", data: "{}")
                event.traceparent = traceparent
                try await Publisher(to: Topic("notes"), on: Broker(client, namespace: "test")).publish(event)
            }
            let seen = Record<Seen>()
            let (answers, tracer) = (Publisher(to: Topic("answers"), on: traced), tracer)
            var options = SubscriptionOptions()
            options.concurrency = 1
            let subscription = Subscription(
                to: Topic("notes"), group: "g", from: .earliest, on: traced, options: options
            ) {
                On("note.taken") { delivery in
                    let context = ServiceContext.current ?? .topLevel
                    let child = tracer.startSpan("work", context: context)
                    var found = Seen(
                        delivery: delivery.traceparent, current: context.trace?.text,
                        lane: context.unrecordedTrace?.text, child: child.context.trace)
                    found.isRecorded = child.isRecording
                    child.end()
                    work(seen.count)
                    try await answers.publish(
                        Event(id: delivery.event.id, source: "test", type: "note.answered", data: "{}"))
                    seen.add(found)
                }
            }
            // Whoever runs it has a trace of his own, which is recorded.
            try await tracer.withSpan("outside") { _ in
                try await running(subscription) {
                    try await eventually("all are handled") { seen.count == traceparents.count }
                }
            }
            let published = try await client.send(.xrange("test:events:{answers:0}"))
            return (seen.all, published.map { $0.field("traceparent")?.string })
        }
    }

    private static func withRig(_ body: (Rig) async throws -> Void) async throws {
        try await withRedisServer { server in
            let client = RedisClient(try RedisConfiguration(url: server.url))
            defer { client.close() }
            try await body(Rig(client))
        }
    }

    private static func traceparent(_ number: Int, _ isSampled: Bool = false) -> String {
        "00-\(String(repeating: "\(number)", count: 32))-\(String(repeating: "b", count: 16))-0\(isSampled ? 1 : 0)"
    }

    @Test func `they go on as they came, beside those that are recorded`() async throws {
        try await Self.withRig { rig in
            let sent = [false, true, false, false].enumerated().map { Self.traceparent($0 + 1, $1) }
            let (seen, published) = try await rig.handle(sent)
            #expect(seen.count == 4 && published.count == 4)
            for number in [0, 2, 3] {
                let found = seen[number]
                #expect(found.delivery == sent[number] && found.current == sent[number])
                #expect(found.child?.text == sent[number] && !found.isRecorded)
                #expect(published[number] == sent[number])
                #expect(found.lane == sent[number], "nothing was made for it")
            }
            let own = try #require(seen[1].current.flatMap(Traceparent.init))
            #expect(own.isSampled && own.traceID.low == 0x2222_2222_2222_2222)
            #expect(seen[1].current != sent[1] && seen[1].isRecorded && seen[1].lane == nil)
            #expect(seen[1].child?.traceID.low == own.traceID.low && seen[1].child?.spanID != own.spanID)
            #expect(published[1]?.hasPrefix("00-\(String(repeating: "2", count: 32))") ?? false)
            let spans = rig.queue.take().filter { $0.context.traceID.low == own.traceID.low }
            #expect(spans.count == 4, "process, work, publish, settle")
        }
    }

    @Test(arguments: [
        nil, "", "00-00000000000000000000000000000000-00f067aa0ba902b7-00",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-00",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00x",
    ])
    func `what comes from no trace begins one, as the sampler says`(traceparent: String?) async throws {
        try await Self.withRig { rig in
            let (seen, published) = try await rig.handle([Self.traceparent(1), traceparent])
            let own = try #require(seen[1].current.flatMap(Traceparent.init))
            #expect(own.isSampled && seen[1].isRecorded && seen[1].lane == nil)
            let answer = try #require(published[1].flatMap(Traceparent.init))
            #expect(answer.traceID.low == own.traceID.low)
            #expect(own.traceID.low != 0x1111_1111_1111_1111)
            #expect(rig.queue.take().count { $0.context.traceID.low == own.traceID.low } == 4)
        }
    }

    @Test func `what a handler leaves behind is never recorded`() async throws {
        try await Self.withRig { rig in
            let kept = Mutex(ServiceContext.topLevel)
            let later = Mutex<[String?]>([])
            _ = try await rig.handle([Self.traceparent(1), Self.traceparent(2, true), nil]) { number in
                if number == 0 {
                    kept.withLock { $0 = .current ?? .topLevel }
                } else {
                    let context = kept.withLock { $0 }
                    later.withLock { $0.append(context.trace?.text) }
                }
            }
            let context = kept.withLock { $0 }
            #expect(later.withLock { $0 } == [Self.traceparent(1), Self.traceparent(1)])
            #expect(context.trace?.text == Self.traceparent(1), "also when the lane has ended")
            #expect(!rig.tracer.startSpan("late", context: context).isRecording)
        }
    }

    @Test func `a tracer that decides for itself is asked`() {
        let queue = SpanQueue(capacity: 1, batch: 1)
        #expect(ServiceTracer(.parentBased(root: .alwaysOff), to: queue).followsParents)
        for sampler in [TraceSampler.alwaysOn, .alwaysOff, .ratio(0.5)] {
            #expect(!ServiceTracer(sampler, to: queue).followsParents)
        }
    }
}
