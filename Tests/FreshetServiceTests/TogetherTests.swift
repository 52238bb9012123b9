import FreshetTesting
import Logging
import ServiceLifecycle
import Testing

@testable import FreshetService

/// A service's own services side by side.
@Suite struct TogetherTests {
    /// Says that it was asked to stop, and ends when the gate is open.
    private struct Slow: Service {
        let name: String
        let asked: Record<String>
        let gate: Gate

        func run() async throws {
            await withGracefulShutdownHandler {
                await gate.wait()
            } onGracefulShutdown: {
                asked.add(name)
            }
        }
    }

    private struct Failing: Service {
        struct Broken: Error {}
        func run() async throws { throw Broken() }
    }

    private struct Short: Service {
        func run() async throws {}
    }

    private func group(_ services: any Service...) -> ServiceGroup {
        let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        return ServiceGroup(
            configuration: .init(
                services: [.init(service: ServicesTogether(services: services))], logger: quiet))
    }

    @Test func `all are asked to stop while each of them still has something to do`() async throws {
        let (asked, gate) = (Record<String>(), Gate())
        defer { gate.open() }
        let group = group(
            Slow(name: "a", asked: asked, gate: gate), Slow(name: "b", asked: asked, gate: gate))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            await group.triggerGracefulShutdown()
            try await eventually("both are asked") { Set(asked.all) == ["a", "b"] }
            gate.open()
            try await tasks.waitForAll()
        }
    }

    @Test func `one that fails, or ends by itself, ends all`() async throws {
        let endless = cancellable
        await #expect(throws: Failing.Broken.self) { try await group(endless, Failing()).run() }
        let error = await #expect(throws: ToolError.self) { try await group(endless, Short()).run() }
        #expect(error?.description.contains("Short") == true)
    }

    private var cancellable: some Service {
        struct Endless: Service {
            func run() async throws { try await Task.sleep(for: .seconds(3600)) }
        }
        return Endless()
    }
}
