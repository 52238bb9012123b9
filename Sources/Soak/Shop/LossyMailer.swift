internal import Freshet
internal import FreshetRecords
internal import FreshetTesting
internal import Hiredis
internal import Logging
internal import ServiceLifecycle

/// A service in this process that publishes to a queue: two relays on one database, every tenth mail for a
/// moment later, and one consumer, all of which live through everything.
struct LossyMailer {
    private struct Mail: EventPayload {
        static let eventType: EventType = "mail.asked"
        let number: Int
    }

    private static let mails = Topic("mails", kind: .queue)

    private let broker: Broker
    private let records: [ServiceRecords]
    private let seen = Record<Int>()
    private let log = LossLog()
    private let url: String
    private(set) var written = 0

    /// - Parameter url: its database.
    init(on server: LocalRedisServer, url: String) async throws {
        self.url = url
        let client = RedisClient(try RedisConfiguration(url: server.url))
        broker = Broker(client, namespace: "mails")
        let log = log
        var records: [ServiceRecords] = []
        for _ in 0..<2 {
            records.append(
                try await ServiceRecords(
                    RecordsDatabase.open(url: url), source: "mailer", migrations: [], on: broker,
                    logger: Logger(label: "soak", factory: { _ in LossLogHandler(log: log) })))
        }
        self.records = records
    }

    func close() { broker.client.close() }

    /// What runs beside the body.
    var services: [any Service] {
        let seen = seen
        let consumer = Subscription(to: Self.mails, group: "mailer", on: broker) {
            On(Mail.self) { mail, _ in seen.add(mail.number) }
        }
        return records.map(\.relay) + [consumer]
    }

    /// Writes one mail to the outbox, by either process.
    mutating func write() async throws {
        let (number, id) = (written, "mail-\(written)")
        let cause = Event(id: id, source: "soak", type: "soak.tick", data: "{}")
        let isLater = number % 10 == 0
        let time = isLater ? Timestamp(milliseconds: Timestamp.now().milliseconds + 1500) : nil
        try await records[number % 2].handle(Delivery(event: cause, group: "mailer", topic: "ticks")) {
            try $0.publish(Mail(number: number), to: Self.mails, key: nil, deliverAt: time)
        }
        written += 1
    }

    /// Whether everything has left the outbox, the schedule and the queue.
    func isSettled() async throws -> Bool {
        let keys = broker.keys("mails", 0)
        guard try await RecordsDatabase.look(url: url).unpublished == 0,
            try await broker.client.send(RedisCommand("ZCARD", keys.scheduled)).integer == 0
        else { return false }
        let reports = try await broker.groupReports()
        return !reports.isEmpty && reports.allSatisfy { $0.waiting + $0.pending + $0.delayed == 0 }
    }

    /// The mails that nobody saw.
    var missing: [String] {
        let seen = Set(seen.all)
        return (0..<written).filter { !seen.contains($0) }.map { "mail \($0)" }
    }

    /// Events that were published again after a loss.
    var restored: Int { log.restored.all.reduce(0, +) }
}

private final class LossLog: Sendable {
    let restored = Record<Int>()
}

/// Counts what relays tell of losses.
private struct LossLogHandler: LogHandler {
    let log: LossLog
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.error

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        guard "\(event.message)" == ShopLosses.message, let count = event.metadata?["count"] else { return }
        log.restored.add(Int("\(count)") ?? 0)
    }
}
