import Freshet
import FreshetTesting
import Hiredis
import Testing

/// The shop's workers with a collector of traces.
@Suite(.serialized) struct TraceTests {
    @Test func `an order is one trace through all three services, and freshet trace tells the same story`()
        async throws
    {
        let collector = try TraceCollector()
        defer { collector.stop() }
        let environment = [
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "50",
        ]
        try await WorkerTests.withWorkers(on: .sqlite, environment: environment) { server, client, folder in
            let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
            try await client.send(
                RedisCommand(
                    "XADD", "shop:events:{orders:0}", "*", "specversion", "1.0", "id", "o-1", "source",
                    "test", "type",
                    "order.placed", "traceparent", traceparent, "data", WorkerTests.data("o-1")))
            // The order's own, what the payment service made of it, and what the order service made of that.
            let wanted: Set = [
                "order process orders", "customer process orders", "payment process orders",
                "payment publish payments", "order process payments", "order publish orders",
            ]
            func trace() throws -> [(service: String, span: TraceCollector.Span)] {
                try collector.spans().filter { $0.span.traceId == "4bf92f3577b34da6a3ce929d0e0e4736" }
            }
            func confirmed() throws -> Bool {
                let all = try trace()
                let names = all.map { "\($0.service) \($0.span.name)" }
                return Set(names).isSuperset(of: wanted)
                    && names.count { $0 == "customer process orders" } >= 2
                    && all.count { $0.span.name.hasPrefix("settle") } >= 5
            }
            try await eventually("all spans of the order arrive") { try confirmed() }
            let spans = try trace()
            func span(_ service: String, _ name: String) throws -> TraceCollector.Span {
                try #require(spans.first { $0.service == service && $0.span.name == name }?.span)
            }
            let ids = Set(spans.map(\.span.spanId)).union(["00f067aa0ba902b7"])
            #expect(
                spans.allSatisfy { ids.contains($0.span.parentSpanId ?? "") },
                "each has its parent in the trace")
            let charged = try span("payment", "process orders")
            #expect(charged.parentSpanId == "00f067aa0ba902b7")
            let published = try span("payment", "publish payments")
            #expect(published.parentSpanId == charged.spanId)
            #expect(try span("order", "process payments").parentSpanId == published.spanId)
            #expect(
                charged["messaging.consumer.group.name"] == "payment"
                    && charged["messaging.message.id"] == "o-1")

            let tool = ["trace", "o-1", "--namespace", "shop", "--redis-url", server.url]
            var told = ""
            try await eventually("the story is told, and all of it is settled", showing: told) {
                let outcome = try await Program.run("freshet", tool, in: folder)
                told = outcome.output + outcome.errors
                // On a busy machine an event may come so late after its cause that a line says so, and the payment before its order
                // is seen: then it is the order that confirms.
                let lines = outcome.output.split(separator: "\n").filter { !$0.hasPrefix("wait: ") }
                return outcome.ending == .exited(0) && lines.count == 5 && !outcome.output.contains("open:")
                    && lines[1].contains("  order.placed  ") && lines[1].contains("payment settled")
                    && outcome.output.contains("  └ payment.captured  ")
                    && outcome.output.contains("  └ order.confirmed  ")
                    && outcome.output.contains("  └ customer.registered  ")
            }
        }
    }

    @Test func `workers work, and end in time, with a collector that hangs`() async throws {
        let collector = try TraceCollector { _ in .hang }
        defer { collector.stop() }
        let environment = [
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "20",
        ]
        try await WorkerTests.withWorkers(on: .sqlite, environment: environment) { server, client, folder in
            for number in 1...50 { try await WorkerTests.place("o-\(number)", client) }
            try await eventually("all orders are confirmed") {
                (try? await WorkerTests.rows(
                    "SELECT * FROM orders WHERE status = 'confirmed'", "order", folder
                )
                .count) == 50
            }
            // Orders are confirmed without the customer service, which may come to its first event later.
            try await eventually("each of the three services sends spans") { collector.requests.count >= 3 }
        }
    }

    @Test func `an endpoint that is none ends a worker with 78 and its name`() async throws {
        let folder = try Folder()
        let outcome = try await Program.run(
            "payment-worker", [], environment: ["OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"], in: folder)
        #expect(outcome.ending == .exited(78) && outcome.errors.contains("OTEL_EXPORTER_OTLP_ENDPOINT: "))
    }
}
