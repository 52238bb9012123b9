import Foundation
import Freshet
import FreshetRecords
import FreshetService
import Testing

struct OrderPlaced: EventPayload {
    static let eventType: EventType = "order.placed"
    let orderId: String, total: Int64
}

let tables = [
    Migration(1, "invoices", ["CREATE TABLE invoices (order_id TEXT PRIMARY KEY, total BIGINT NOT NULL)"])
]

/// The README's service: compiled here, and compared with the README below.
func readmeService() async throws {
    try await Worker.run(WorkerOptions(), defaults: WorkerDefaults(group: "invoice"), migrations: tables) {
        worker in
        [
            worker.subscribe(to: Topic("orders")) {
                On(OrderPlaced.self) { order, delivery in
                    // Once, however often it is delivered:
                    try await worker.records.handle(delivery) { effects in
                        try effects.execute(
                            "INSERT INTO invoices VALUES ($1, $2)", .text(order.orderId),
                            .integer(order.total))
                    }
                }
            }
        ]
    }
}

struct CardRefused: Error {}
struct ProviderBusy: Error { let pause: Duration }
struct OrderSeen: EventPayload { static let eventType: EventType = "order.seen" }
extension Topic { fileprivate static let orders = Topic("orders") }
private func insert(_ orders: [BatchedEvent<OrderSeen>]) async throws {}
private func store(_ data: EventData) {}

/// The README's delivery: compiled here, and compared with the README below.
func readmeDelivery(on broker: Broker) async throws {
    // From here:
    var options = SubscriptionOptions()
    options.ordering = .perKey  // one event of a key at a time, in the log's order
    options.retry.maximumAttempts = 8  // back-off with full jitter in between
    options.retry.on(CardRefused.self) { _ in .acknowledge }  // not a failure
    options.retry.on(ProviderBusy.self) { .retryAfter($0.pause) }

    try await Subscription(to: .orders, group: "invoice", on: broker, options: options) {
        On(OrderPlaced.self) { order, delivery in
            guard order.total > 0 else { throw Respond(.deadLetter, because: "nothing to invoice") }
        }
        OnBatch(OrderSeen.self, upTo: 500, within: .milliseconds(20)) { orders in try await insert(orders) }
        On("scan.taken") { delivery in store(delivery.event.data) }  // the bytes, whatever they are
    }.run()
    // To here.
}

@Suite struct ReadmeTests {
    @Test func `the delivery in the README is the one that is compiled here`() throws {
        let own = try String(contentsOfFile: #filePath, encoding: .utf8)
        let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let readme = try String(contentsOfFile: "\(root)/README.md", encoding: .utf8)
        let shown = try #require(readme.range(of: "    var options = SubscriptionOptions()"))
        let end = try #require(readme[shown.lowerBound...].range(of: "\n\n* **Order.**"))
        let from = try #require(own.range(of: "    // From here:\n"))
        let to = try #require(own.range(of: "    // To here."))
        let snippet = code(readme[shown.lowerBound..<end.lowerBound])
        #expect(snippet.count > 300 && snippet == code(own[from.upperBound..<to.lowerBound]))
    }

    /// Without the white space, which the formatter owns, and with it the places of line breaks.
    private func code(_ text: some StringProtocol) -> String {
        text.split(separator: "\n").filter { !$0.hasPrefix("import") && !$0.hasPrefix("    import") }
            .joined().filter { !$0.isWhitespace }
    }

    @Test func `the service in the README is the one that is compiled here`() throws {
        let own = try String(contentsOfFile: #filePath, encoding: .utf8)
        let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let readme = try String(contentsOfFile: "\(root)/README.md", encoding: .utf8)
        let shown = try #require(readme.range(of: "    struct OrderPlaced: EventPayload {"))
        let end = try #require(readme[shown.lowerBound...].range(of: "\n\nAnything that can write"))
        let snippet = code(readme[shown.lowerBound..<end.lowerBound])
        #expect(snippet.count > 300)
        let payload = try #require(own.range(of: "struct OrderPlaced"))
        let comment = try #require(own.range(of: "/// The README's service"))
        let body = try #require(own.range(of: "    try await Worker.run("))
        let close = try #require(own.range(of: "\n}\n\nstruct CardRefused"))
        #expect(
            snippet == code(own[payload.lowerBound..<comment.lowerBound])
                + code(own[body.lowerBound..<close.lowerBound]))
    }
}
