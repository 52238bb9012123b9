import Foundation
import Freshet
import FreshetRecords
import FreshetService
import FreshetTesting
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
                On(OrderPlaced.self, in: worker.records) { order, effects in
                    // Once, however often it is delivered:
                    try effects.execute(
                        "INSERT INTO invoices VALUES ($1, $2)", .text(order.orderId), .integer(order.total))
                }
                On(InvoiceSent.self, for: [.live, .redelivery]) { invoice, delivery in
                    try await mail(invoice)  // not in a rebuild: it is more than records
                }
            }
        ]
    }
}

struct CardRefused: Error {}
private struct InvoiceSent: EventPayload {
    static let eventType: EventType = "invoice.sent"
    let orderId: String
}
private func mail(_ invoice: InvoiceSent) async throws {}
struct ProviderBusy: Error { let pause: Duration }
struct OrderSeen: EventPayload { static let eventType: EventType = "order.seen" }
extension Topic { fileprivate static let orders = Topic("orders") }
private func insert(_ orders: [BatchedEvent<OrderSeen>]) async throws {}
private func store(_ data: EventData) {}

/// The README's delivery: compiled here, and compared with the README below.
func readmeDelivery(on broker: Broker) async throws {
    // Delivery, from here:
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
    // Delivery, to here.
}

func readmePublishing(
    _ placed: Event, _ many: [Event], _ reminder: Event, _ tomorrow: Timestamp, on broker: Broker
) async throws {
    // Publishing, from here:
    try await broker.declare(
        TopicDeclaration(
            Topic("orders", partitions: 8), groups: [GroupDeclaration("invoice", ordering: .perKey)],
            retention: Retention(age: .seconds(7 * 86_400)),
            durability: .replicated(1, within: .milliseconds(500)), limit: 5_000_000))

    let publisher = Publisher(to: Topic("orders", partitions: 8), on: broker)
    try await publisher.publish(placed)
    for outcome in try await publisher.publish(many) { _ = try outcome.get() }  // each event has its own
    try await publisher.publish(reminder, deliverAt: tomorrow)
    // Publishing, to here.
}

func readmeTesting() async throws {
    let (sent, failed) = (Record<String>(), Gate())
    @Sendable func send(_ order: OrderPlaced) async throws {
        sent.add(order.orderId)
        if !failed.isOpen {
            failed.open()
            throw CardRefused()
        }
    }
    let placed = try Event(OrderPlaced(orderId: "1", total: 5), source: "till")
    // Testing, from here:
    let memory = try InMemoryBroker()  // in this process, its clock stands still
    let invoices = Subscription(to: .orders, group: "invoice", on: memory.broker) {
        On(OrderPlaced.self) { order, _ in try await send(order) }  // fails the first time
    }
    try await running(invoices) {
        try await Publisher(to: .orders, on: memory.broker).publish(placed)
        try await memory.settled("invoice", of: .orders)  // all that can be done now: the retry waits
        await memory.advance(by: .seconds(30))
        try await memory.settled("invoice", of: .orders)  // and the retry is done
    }
    // Testing, to here.
    #expect(sent.count == 2)
}

struct InvoicedV1: EventPayload {
    static let eventType: EventType = "invoice.sent"
    let invoiceId: String, total: Int64
}

// Versions, from here:
struct Invoiced: EventPayload {
    static let eventType: EventType = "invoice.sent"
    static let schemaVersion = 2
    static let upcast = Upcast<Self>(from: InvoicedV1.self) { old in
        Invoiced(invoiceId: old.invoiceId, total: old.total, currency: "EUR")
    }
    let invoiceId: String, total: Int64, currency: String
}
// Versions, to here.

@Suite struct ReadmeTests {
    @Test(arguments: [
        ("Versions", "    struct Invoiced: EventPayload {", "\n\n* **Each version"),
        ("Delivery", "    var options = SubscriptionOptions()", "\n\n* **Order.**"),
        ("Publishing", "    try await broker.declare(", "\n\n* **Retention**"),
        ("Testing", "    let memory = try InMemoryBroker()", "\n\nNo server and no sleep"),
    ])
    func `what the README shows is what is compiled here`(name: String, first: String, after: String) throws {
        let own = try String(contentsOfFile: #filePath, encoding: .utf8)
        let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let readme = try String(contentsOfFile: "\(root)/README.md", encoding: .utf8)
        let shown = try #require(readme.range(of: first))
        let end = try #require(readme[shown.lowerBound...].range(of: after))
        let from = try #require(own.range(of: "// \(name), from here:\n"))
        let to = try #require(own.range(of: "// \(name), to here."))
        let snippet = code(readme[shown.lowerBound..<end.lowerBound])
        #expect(snippet.count > 250 && snippet == code(own[from.upperBound..<to.lowerBound]))
    }

    @Test func `the README's own test passes`() async throws { try await readmeTesting() }

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
