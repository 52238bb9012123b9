import ArgumentParser
import Freshet
import FreshetSchema
import FreshetService
import Hiredis
import Testing

@Suite struct ContractTests {
    private let orders = Topic("orders")

    /// A subscription that never runs.
    private func subscription(@HandlerBuilder _ handlers: () -> [On]) throws -> Subscription {
        let client = RedisClient(try RedisConfiguration(url: "redis://127.0.0.1:1"))
        return Subscription(
            to: orders, group: "invoice", on: Broker(client, namespace: "test"), handlers: handlers)
    }

    @Test func `handlers are what the contract says, or the worker ends with 78`() throws {
        let contract = ServiceContract("invoice", receives: [.init(OrderPlaced.self, on: orders)])
        try contract.hold(against: [try subscription { On(OrderPlaced.self) { _, _ in } }])
        try contract.hold(against: [try subscription { On("order.placed") { _ in } }])
        let cases: [(Subscription?, String)] = [
            (nil, "no handler for it"), (try subscription { On("order.seen") { _ in } }, "no handler for it"),
            (
                try subscription {
                    On(OrderPlaced.self) { _, _ in }
                    On("order.seen") { _ in }
                }, "'order.seen'"
            ), (try subscription { On("order.placed", newestVersion: 3) { _ in } }, "version 3"),
        ]
        for (subscription, says) in cases {
            let error = #expect(throws: ToolError.self) {
                try contract.hold(against: subscription.map { [$0] } ?? [])
            }
            #expect(error?.status == .badConfiguration && error?.description.contains(says) == true)
        }
    }

    @Test func `a program without a contract has nothing to describe: 64`() async throws {
        let options = try WorkerOptions.parse(["--describe"])
        let error = await #expect(throws: ToolError.self) {
            try await Worker.run(options, defaults: WorkerDefaults(group: "invoice"), migrations: []) { _ in
                []
            }
        }
        #expect(error?.status == .usage && error?.description.contains("no contract") == true)
    }
}
