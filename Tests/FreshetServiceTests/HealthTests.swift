import Freshet
import FreshetRecords
import FreshetTesting
import Glibc
import Hiredis
import Logging
import Testing

@testable import FreshetService

@Suite struct HealthTests {
    private func failed(_ health: Health, _ question: Health.Question) async -> [String] {
        await health.checks(for: question).filter { $0.failure != nil }.map(\.name)
    }

    @Test func `a start goes from one check to the next, and ready follows the server`() async throws {
        let server = LocalRedisServer()
        try await withRedisServer(server) { server in
            var configuration = try RedisConfiguration(url: server.url)
            configuration.commandTimeout = .seconds(1)
            let client = RedisClient(configuration)
            defer { client.close() }
            let health = Health()
            let database = try RecordsDatabase.open(url: "sqlite::memory:")
            #expect(await failed(health, .startup) == ["migrations", "connection", "groups"])
            #expect(await failed(health, .ready) == ["redis", "database", "migrations", "groups"])
            health.migrated(database, failure: "it is away")
            #expect(await failed(health, .startup) == ["migrations", "connection", "groups"])
            health.migrated(database, failure: nil)
            #expect(await failed(health, .startup) == ["connection", "groups"])
            health.connecting(client)
            try await client.connect(within: .seconds(10))
            health.connected()
            #expect(await failed(health, .ready) == ["groups"])
            let orders = Subscription(
                to: Topic("orders"), group: "invoice", on: Broker(client, namespace: "test")
            ) { On("order.placed") { _ in } }
            health.runs([orders])
            #expect(await failed(health, .startup) == ["group invoice of orders"])
            try await running(orders) {
                try await eventually("it is ready") { await failed(health, .ready).isEmpty }
                #expect(await failed(health, .startup).isEmpty)
                #expect(await failed(health, .live).isEmpty)
                await server.kill()
                try await eventually("it is not ready") { await failed(health, .ready) == ["redis"] }
                #expect(await failed(health, .live).isEmpty)
                try await server.start()
                try await eventually("it is ready again") { await failed(health, .ready).isEmpty }
                // The group is gone, and made again.
                try await client.send(RedisCommand("FLUSHALL"))
                try await eventually("it is ready again") { await failed(health, .ready).isEmpty }
                health.drains()
                #expect(await failed(health, .ready) == ["draining"])
            }
            #expect(await failed(health, .live).isEmpty, "a reader that has ended hangs nowhere")
        }
    }

    @Test func `a question that hangs is asked once, and costs each who asks its limit only`() async throws {
        let asked = Record<Bool>()
        let gate = Gate()
        let probe = Probe(limit: .milliseconds(100), freshness: .milliseconds(50)) {
            asked.add(true)
            await gate.wait()
        }
        let answers = await withTaskGroup(of: String?.self) { tasks in
            for _ in 0..<20 { tasks.addTask { await probe.failure() } }
            return await tasks.reduce(into: [String?]()) { $0.append($1) }
        }
        #expect(answers.allSatisfy { $0?.contains("no answer within") == true }, "\(answers)")
        #expect(asked.count == 1)
        gate.open()
        try await eventually("it is well") { await probe.failure() == nil }
        let failing = Probe { throw ToolError(.failed, "the disk is full") }
        #expect(await failing.failure() == "the disk is full")
    }

    @Test func `a reader that does not come round is noticed, and by nobody else's thread`() async throws {
        let memory = try InMemoryBroker()
        let subscription = Subscription(to: Topic("orders"), group: "invoice", on: memory.broker) {
            On("order.placed") { _ in }
        }
        let pulse = subscription.pulse
        #expect(pulse.silence == nil && !pulse.hasGroup)
        try await running(subscription) {
            try await eventually("it reads") { pulse.silence != nil && pulse.hasGroup }
        }
        #expect(pulse.silence == nil)
        #expect(pulse.patience >= .seconds(60))
    }

    @Test func `log lines of a handler say what it handles, whoever writes them`() async throws {
        let lines = Record<Logger.Metadata>()
        let memory = try InMemoryBroker()
        let logger = Logger(label: "service") { _ in RecordingHandler(lines: lines) }
        let subscription = Subscription(to: Topic("orders"), group: "invoice", on: memory.broker) {
            On("order.placed") { _ in
                logger.info("direct")
                async let below: Void = { logger.info("in a child task") }()
                _ = await below
            }
        }
        try await running(subscription) {
            try await Publisher(to: Topic("orders"), on: memory.broker).publish(
                Event(id: "e1", source: "till", type: "order.placed", correlationID: "story", data: "{}"))
            try await memory.settled("invoice", of: Topic("orders"))
        }
        logger.info("outside")
        let expected: Logger.Metadata = [
            "event_id": "e1", "correlation_id": "story", "type": "order.placed", "attempt": "1",
            "topic": "orders", "group": "invoice",
        ]
        #expect(lines.all == [expected, expected, [:]])
    }
}

private struct RecordingHandler: LogHandler {
    var logLevel = Logger.Level.trace
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider? = .delivery
    let lines: Record<Logger.Metadata>

    init(lines: Record<Logger.Metadata>) { self.lines = lines }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { lines.add(metadataProvider?.get() ?? [:]) }
}
