internal import Freshet
internal import FreshetRecords
internal import Hiredis

extension WorkTask {
    /// The handler's own table, as the C program makes it.
    private static let bookings = Migration(
        1, "bookings",
        [
            """
            CREATE TABLE bookings (event_id TEXT NOT NULL, customer TEXT NOT NULL, total BIGINT NOT NULL,
              currency TEXT NOT NULL)
            """
        ])

    private static func book(_ payload: Measured, _ effects: Effects) throws {
        try effects.enqueue(
            "INSERT INTO bookings (event_id, customer, total, currency) VALUES ($1, $2, $3, $4)",
            .text(effects.delivery.event.id), .text(payload.customer), .integer(payload.total),
            .text(payload.currency))
    }

    /// A subscription whose handler keeps its effects in records, until all events are handled and acknowledged.
    func handle(_ kind: HandlingKind) async throws -> Sample {
        let count = Count(warmUp: warmUp)
        let broker = Broker(client, namespace: Self.namespace)
        let records = try await ServiceRecords(
            try RecordsDatabase.open(url: "sqlite:\(database)"), source: "bench",
            migrations: [Self.bookings], on: broker)
        let subscription = Subscription(
            to: Self.topic, group: GroupName(unchecked: group), on: broker,
            options: options(concurrency: kind == .alone ? 1 : 256)
        ) {
            if kind == .batch {
                OnBatch(Measured.self, upTo: 256, within: .milliseconds(5)) { events in
                    try await records.handle(events, Self.book)
                    for event in events { count.add(event.payload.note.utf8.count) }
                }
            } else {
                On(Measured.self) { payload, delivery in
                    try await records.handle(delivery) { try Self.book(payload, $0) }
                    count.add(payload.note.utf8.count)
                }
            }
        }
        // Before anything counts.
        let decoding = try PayloadCost(of: Measured.example).decoding
        let sample = try await sample(of: subscription) { () -> Sample? in
            guard let meter = count.meter else { return nil }
            var sample = meter.sample(events: events)
            let threads = (ThreadTimes.ofThisProcess() - meter.threads) / (Double(events) / 1e6)
            sample.spent = TimeSpent(threads, decoding: decoding)
            return sample
        }
        let total = warmUp + events
        let rows = try await records.database.read { transaction in
            try ["inbox", "bookings"].map { table in
                try transaction.query("SELECT count(*) AS count FROM \(table)").first?.integer("count")
            }
        }
        guard let sample, count.handled == total, rows == [Int64(total), Int64(total)] else {
            throw BenchError("not every event was handled once")
        }
        return sample
    }
}
