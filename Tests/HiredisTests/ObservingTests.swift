import FreshetTesting
import Hiredis
import InMemoryLogging
import InMemoryTracing
import Logging
import Metrics
import MetricsTestKit
import Testing
import Tracing

/// What an operator sees of the connections: metrics, spans, log.
@Suite struct ObservingTests {
    @Test func `metrics count what passed, what failed and what is under way`() async throws {
        // In a process of its own: a metrics system is bootstrapped once.
        await #expect(processExitsWith: .success) { try await countWhatPasses() }
    }

    @Test func `spans are made when a tracer is given, and hold no key and no value`() async throws {
        try await withServer { _, plain in
            let tracer = InMemoryTracer()
            let client = RedisClient(plain.configuration, tracer: tracer)
            defer { client.close() }
            try await tracer.withSpan("handle") { _ in
                try await client.send(RedisCommand("SET", "secret-key", "secret-value"))
                var pipeline = RedisPipeline()
                pipeline.append("LPUSH", "secret-key", "x")
                pipeline.append("GET", "secret-key")
                _ = try await client.send(pipeline)
                _ = try? await client.dedicated().send(.xlen("secret-key"))
            }
            client.close()
            _ = try? await client.send(.xadd("s", ["secret": "value"]))

            let spans = tracer.finishedSpans
            #expect(spans.map(\.operationName) == ["SET", "PIPELINE", "XLEN", "handle", "XADD"])
            let parent = try #require(spans.first { $0.operationName == "handle" })
            for span in spans.prefix(3) {
                #expect(span.kind == .client && span.parentSpanID == parent.spanID)
                #expect(span.attributes.get("db.system.name") == "redis")
                #expect(span.attributes.get("server.address") != nil)
            }
            #expect(spans[0].status == nil && spans[0].attributes.get("error.type") == nil)
            #expect(spans[1].attributes.get("db.operation.batch.size") == .int64(2))
            for span in [spans[1], spans[2]] {
                #expect(span.status?.code == .error)
                #expect(span.attributes.get("error.type") == "WRONGTYPE")
                #expect(span.attributes.get("db.response.status_code") == "WRONGTYPE")
            }
            #expect(spans[4].attributes.get("error.type") == "client closed")
            #expect(!spans.contains { "\($0)".contains("secret") })
            #expect(spans.allSatisfy { $0.errors.isEmpty && $0.events.isEmpty })
        }
    }

    @Test func `the log tells of connections, once each, and of no password, key or value`() async throws {
        try await withServer(readTheLog)
    }
}

private func countWhatPasses() async throws {
    let metrics = TestMetrics()
    MetricsSystem.bootstrap(metrics)
    try await withRedisServer { server in
        // Another database, and so another label, than those who look whether the server has started.
        let client = RedisClient(try RedisConfiguration(url: server.url + "?db=1"))
        defer { client.close() }
        let labels = [("server", client.configuration.displayName)]
        func total(_ name: String, _ more: [(String, String)] = []) -> Int64 {
            metrics.counterTotal(label: "freshet_redis_\(name)_total", dimensions: labels + more)
        }
        try await client.connect()
        try await eventually("the greeting is reported") { total("commands") > 0 }
        let greeting = total("commands")
        let timer = try metrics.expectTimer("freshet_redis_request_seconds", labels)
        let greetings = timer.values.count
        var pipeline = RedisPipeline()
        pipeline.append("SET", "k", "value")
        pipeline.append("LPUSH", "k", "x")
        for _ in 0..<8 { pipeline.append("GET", "k") }
        let first = try await client.send(pipeline)
        await #expect(throws: RedisError.self) { try await client.send(.xlen("k")) }
        // What a turn of the loop gathered is reported at its end.
        try await eventually("all is reported") { total("commands") == greeting + 11 }
        #expect(first.count == 10 && total("connects") == 1)
        #expect(total("errors", [("code", "WRONGTYPE")]) == 2)
        #expect(total("sent_bytes") >= Int64(pipeline.bytes.count))
        #expect(total("received_bytes") >= 8 * Int64("$5\r\nvalue\r\n".utf8.count))
        #expect(timer.values.count == greetings + 2, "one for each request")
        #expect(timer.values.allSatisfy { $0 >= 0 && $0 < 10_000_000_000 })

        server.pause()
        let meter = try metrics.expectMeter("freshet_redis_commands_in_flight", labels)
        let late = Task {
            try await client.send(RedisCommand("GET", "k"), timeout: .milliseconds(300))
        }
        try await eventually("one is under way") {
            meter.values.last == 1
        }
        let error = await #expect(throws: RedisError.self) { try await late.value }
        #expect(error?.code == .timedOut)
        #expect(total("errors", [("code", "timed out")]) == 1)
        server.resume()
        try await client.send(RedisCommand("PING"))
        await server.kill()
        try await server.start()
        try await client.send(RedisCommand("PING"))
        #expect(total("connects") == 2)
    }
}

private func hidden(_ configuration: RedisConfiguration, password: String) -> RedisConfiguration {
    var configuration = configuration
    configuration.user = "worker"
    configuration.password = password
    return configuration
}

extension InMemoryLogHandler {
    static var forEverything: InMemoryLogHandler {
        var handler = InMemoryLogHandler()
        handler.logLevel = .trace
        return handler
    }
}

private func readTheLog(_ server: LocalRedisServer, _ admin: RedisClient) async throws {
    try await admin.send(
        RedisCommand("ACL", "SETUSER", "worker", "on", ">hidden-password", "~*", "&*", "+@all"))
    let log = InMemoryLogHandler.forEverything
    let logger = Logger(label: "test", factory: { _ in log })
    let configuration = hidden(admin.configuration, password: "hidden-password")
    let client = RedisClient(configuration, logger: logger)
    defer { client.close() }
    try await client.send(RedisCommand("SET", "hidden-key", "hidden-value"))
    _ = try? await client.send(.xlen("hidden-key"))
    #expect(log.entries.count { $0.level == .info || $0.level == .debug } >= 1)
    await server.kill()
    _ = try? await client.send(RedisCommand("GET", "hidden-key"), timeout: .milliseconds(500))
    let warnings = log.entries.filter { $0.level >= .warning }
    #expect(!warnings.isEmpty && warnings.count <= 3, "\(warnings.map(\.message))")
    try await server.start()
    let refused = RedisClient(hidden(configuration, password: "hidden-and-wrong"), logger: logger)
    defer { refused.close() }
    await #expect(throws: RedisError.self) { try await refused.connect() }
    for entry in log.entries {
        #expect(!"\(entry)".contains("hidden"), "\(entry)")
    }
}
