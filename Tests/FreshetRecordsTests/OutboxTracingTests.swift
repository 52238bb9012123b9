import Freshet
import FreshetRecords
import FreshetTesting
import InMemoryTracing
import Testing

@Suite struct OutboxTracingTests {
    @Test func `a trace goes through the outbox: handled, published, handled again`() async throws {
        try await RelayTests.withBroker(on: .sqlite) { _, plain, scratch in
            let tracer = TraceRecorder()
            let broker = Broker(plain.client, namespace: "test", tracer: tracer)
            let records = try await ServiceRecords(
                try scratch.open(), source: "notes", migrations: [], on: broker)
            let letters = Topic("letters")
            let first = Subscription(to: .notes, group: "writer", on: broker) {
                On(Noted.self) { note, delivery in
                    try await records.handle(delivery) { try $0.publish(note, to: letters, key: note.text) }
                }
            }
            let second = Subscription(to: letters, group: "reader", on: broker) { On(Noted.self) { _, _ in } }
            try await running(records.relay, first, second) {
                for text in ["a", "b"] {
                    try await Publisher(to: .notes, on: broker).publish(
                        Event(Noted(text: text), source: "test"))
                }
                try await eventually("both are read") { tracer.spans("settle letters").count == 2 }
            }
            let roots = tracer.spans("publish notes")
            #expect(Set(roots.map(\.traceID)).count == 2)
            for root in roots {
                let trace = tracer.memory.finishedSpans.filter { $0.traceID == root.traceID }
                func span(_ name: String) throws -> FinishedInMemorySpan {
                    try #require(trace.first { $0.operationName == name })
                }
                #expect(trace.count == 6)
                #expect(try span("process notes").parentSpanID == root.spanID)
                #expect(try span("publish letters").parentSpanID == span("process notes").spanID)
                #expect(try span("process letters").parentSpanID == span("publish letters").spanID)
            }
        }
    }
}
