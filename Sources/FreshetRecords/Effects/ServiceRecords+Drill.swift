internal import Freshet

/// In a drill each transaction with effects leaves a line in `effect_journal`, which has no key: an event whose effects happened
/// twice has two, also where the service's own tables would not show it.
extension ServiceRecords {
    static func makeJournal(in database: any Records) async throws {
        try await database.transaction { transaction in
            try transaction.lock("freshet effect journal")
            try transaction.execute(
                """
                CREATE TABLE IF NOT EXISTS effect_journal (
                  consumer_group TEXT NOT NULL, source TEXT NOT NULL, event_id TEXT NOT NULL)
                """)
        }
    }

    func reachedCommit(_ delivery: Delivery, in transaction: any RecordsTransaction) throws {
        guard Drill.isOn else { return }
        try transaction.execute(
            "INSERT INTO effect_journal (consumer_group, source, event_id) VALUES ($1, $2, $3)",
            .text(delivery.group.rawValue), .text(delivery.event.source), .text(delivery.event.id))
        Drill.reached(.beforeCommit)
    }
}
