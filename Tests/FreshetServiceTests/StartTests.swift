import ArgumentParser
import Foundation
import Freshet
import FreshetService
import FreshetTesting
import InMemoryLogging
import Logging
import Testing

/// A version 3 that says nothing of the versions before.
private struct Gap: EventPayload {
    static let eventType: EventType = "order.placed"
    static let schemaVersion = 3
}

/// What a worker and its subscriptions say of themselves, once and rightly.
@Suite struct StartTests {
    @Test func `a gap between versions ends a worker with 78, before it says that it has started`()
        async throws
    {
        let result = try await #require(
            processExitsWith: .exitCode(78), observing: [\.standardErrorContent]
        ) {
            let server = LocalRedisServer()
            try await server.start()
            let status: Int32
            do {
                try await Worker.run(
                    WorkerOptions.parse(["--redis-url", server.url, "--database-url", "sqlite::memory:"]),
                    defaults: WorkerDefaults(group: "invoice"), migrations: []
                ) { worker in
                    [worker.subscribe(to: Topic("orders")) { On(Gap.self) { _, _ in } }]
                }
                status = 0
            } catch {
                FileHandle.standardError.write(Data("ended: \(error)\n".utf8))
                status = (error as? ToolError)?.status.rawValue ?? 1
            }
            await server.stop()
            exit(status)
        }
        let text = String(decoding: result.standardErrorContent, as: UTF8.self)
        #expect(text.contains("ended: version 2 of 'order.placed' is missing"), "\(text)")
        #expect(!text.contains(#""started""#) && !text.contains("metrics"), "\(text)")
    }

    @Test func `a dead letter that a handler asks for is logged once, with its reason`() async throws {
        let log = InMemoryLogHandler()
        let memory = try InMemoryBroker()
        let subscription = Subscription(
            to: Topic("orders"), group: "invoice", on: memory.broker,
            logger: Logger(label: "test") { _ in log }
        ) {
            On("order.placed") { _ in throw Respond(.deadLetter, because: "nothing to invoice") }
        }
        try await running(subscription) {
            try await Publisher(to: Topic("orders"), on: memory.broker).publish(
                Event(id: "e1", source: "till", type: "order.placed", data: "{}"))
            try await memory.settled("invoice", of: Topic("orders"))
        }
        let errors = log.entries.filter { $0.level == .error }.map { "\($0.message)" }
        #expect(errors == ["dead letter: the policy says so"])
    }
}
