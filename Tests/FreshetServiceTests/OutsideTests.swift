import ArgumentParser
import FoundationEssentials
import Freshet
import FreshetRecords
@testable import FreshetService
import FreshetTesting
import Hiredis
import Logging
import Testing

private struct MailedInvoice: EventPayload {
    static let eventType: EventType = "invoice.created"
    let number: String
}

/// Handlers that call the outside world, over history: a rebuild, and a group that is new.
@Suite struct OutsideTests {
    private static let invoices = Topic("invoices")

    private struct Rig: Sendable {
        let worker: Worker
        let mails = Record<String>()
        var broker: Broker { worker.broker }

        func publish(_ numbers: some Sequence<Int>) async throws {
            let publisher = Publisher(to: OutsideTests.invoices, on: broker)
            for number in numbers {
                try await publisher.publish(
                    Event(MailedInvoice(number: "\(number)"), source: "till", id: "\(number)", key: "k"))
            }
        }

        var kept: [String] {
            get async throws {
                try await worker.records.database.read {
                    try $0.query("SELECT number FROM invoices ORDER BY number").compactMap {
                        $0.text("number")
                    }
                }
            }
        }

        /// As the server has it, but for what it counts of itself.
        var keys: [String] {
            get async throws {
                let reply = try await broker.client.send(RedisCommand("KEYS", "*")).array
                return reply?.compactMap(\.string).sorted() ?? []
            }
        }
    }

    private static func with(_ body: (Rig) async throws -> Void) async throws {
        let folder = "/tmp/freshet-outside-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let url = "sqlite:\(folder)/invoices.db"
        try await withRedisServer { server in
            let client = RedisClient(try RedisConfiguration(url: server.url))
            defer { client.close() }
            let broker = Broker(client, namespace: "test")
            let records = try await ServiceRecords(
                RecordsDatabase.open(url: url), source: "invoices",
                migrations: [Migration(1, "invoices", ["CREATE TABLE invoices (number TEXT NOT NULL)"])],
                on: broker)
            let settings = try WorkerSettings(
                WorkerOptions.parse([]),
                Settings(file: nil, environment: ["REDIS_URL": server.url, "DATABASE_URL": url]),
                defaults: WorkerDefaults(group: "invoices", namespace: "test"))
            let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            try await body(
                Rig(worker: Worker(settings: settings, broker: broker, records: records, logger: logger)))
        }
    }

    private static func keep(_ invoice: MailedInvoice, _ effects: Effects) throws {
        try effects.execute("INSERT INTO invoices VALUES ($1)", .text(invoice.number))
    }

    @Test(arguments: [true, false])
    func `a service whose handlers have not said is not rebuilt, and none of them runs`(isDryRun: Bool)
        async throws
    {
        try await Self.with { rig in
            try await rig.publish(1...20)
            @Sendable func mail(_ worker: Worker) -> Subscription {
                worker.subscribe(to: Self.invoices) {
                    On(MailedInvoice.self) { invoice, _ in rig.mails.add(invoice.number) }
                }
            }
            try await running(mail(rig.worker)) {
                try await eventually("all are sent") { rig.mails.count == 20 }
            }
            var options = RebuildOptions()
            options.isDryRun = isDryRun
            let refusal = await #expect(throws: ToolError.self) {
                try await Rebuild.run(rig.worker, options: options) { [mail($0)] }
            }
            #expect(refusal?.status == .badConfiguration)
            #expect(refusal?.description.contains("'invoice.created' on 'invoices'") == true)
            #expect(rig.mails.count == 20)
        }
    }

    @Test func `a rebuild runs what is in records, and nothing else; a dry run changes nothing`() async throws
    {
        try await Self.with { rig in
            try await rig.publish(1...20)
            @Sendable func both(_ worker: Worker) -> [Subscription] {
                [
                    worker.subscribe(to: Self.invoices) {
                        On(MailedInvoice.self, for: [.live, .redelivery]) { invoice, delivery in
                            rig.mails.add(invoice.number)
                            try await worker.records.handle(delivery) { try Self.keep(invoice, $0) }
                        }
                        On(MailedInvoice.self, in: worker.records, for: .rebuild) { try Self.keep($0, $1) }
                    }
                ]
            }
            try await running(both(rig.worker)[0]) {
                try await eventually("all are kept") {
                    guard rig.mails.count == 20 else { return false }
                    return try await rig.broker.groupReports(topic: "invoices").first?.isSettled == true
                }
            }
            let before = try await rig.keys
            var options = RebuildOptions()
            options.isDryRun = true
            let dry = try await Rebuild.run(rig.worker, options: options) { both($0) }
            #expect(dry.isEqual && !dry.isSwapped && dry.events.applied == 20)
            #expect(try await rig.keys == before)
            let report = try await Rebuild.run(rig.worker) { both($0) }
            #expect(report.isSwapped && report.events.applied == 20)
            #expect(rig.mails.count == 20)
            #expect(try await rig.kept.count == 20)
        }
    }

    @Test func `a handler over the records in use is refused in a rebuild`() async throws {
        try await Self.with { rig in
            try await rig.publish(1...2)
            let event = try Event(MailedInvoice(number: "1"), source: "till", id: "1")
            let delivery = Delivery(
                event: event, group: "invoices", topic: "invoices",
                replay: DeliveryReplay(id: "r", mode: .rebuild, originalTime: .now()))
            await #expect(throws: RecordsError.self) {
                try await rig.worker.records.handle(delivery) {
                    try Self.keep(MailedInvoice(number: "1"), $0)
                }
            }
            #expect(try await rig.kept == [])
        }
    }

    @Test func `a new group reads history into its records, and acts on what comes after`() async throws {
        try await Self.with { rig in
            try await rig.publish(1...20)
            let past = Record<String>()
            func subscription() -> Subscription {
                rig.worker.subscribe(to: Self.invoices, actingFrom: .latest) {
                    On(MailedInvoice.self, for: [.live, .redelivery]) { invoice, delivery in
                        rig.mails.add(invoice.number)
                        if delivery.isHistory { past.add(invoice.number) }
                    }
                }
            }
            func reader() -> Subscription {
                Subscription(to: Self.invoices, group: "ledger", on: rig.broker) {
                    On(MailedInvoice.self, in: rig.worker.records) { invoice, effects in
                        if effects.delivery.isHistory { past.add(invoice.number) }
                        try Self.keep(invoice, effects)
                    }
                }
            }
            try await running(reader()) {
                try await running(subscription()) {
                    try await eventually("all is read") {
                        let isSettled = try await rig.broker.groupReports(topic: "invoices")
                            .allSatisfy(\.isSettled)
                        let kept = try await rig.kept
                        return isSettled && kept.count == 20
                    }
                }
            }
            #expect(rig.mails.count == 0 && past.count == 20)
            // Also what waits while nobody runs is not of the past.
            try await rig.publish(21...25)
            try await running(reader()) {
                try await running(subscription()) {
                    try await eventually("what is new is sent") {
                        let kept = try await rig.kept
                        return rig.mails.count == 5 && kept.count == 25
                    }
                }
            }
            #expect(past.count == 20 && rig.mails.all.sorted() == ["21", "22", "23", "24", "25"])
        }
    }
}
