extension Shadow {
    /// Finds out which events the inbox in use does not have. Nothing of it changes before `replace`.
    package func prepareToReplace() async throws {
        let place = place
        _ = try await records.transaction {
            try $0.execute("DROP TABLE IF EXISTS \(place.made)freshet_merge")
        }
        _ = try await seeingBoth { transaction in
            try transaction.execute(
                """
                CREATE TABLE \(place.made)freshet_merge AS
                SELECT consumer_group, source, event_id, handled_at FROM \(place.made)inbox m
                WHERE m.log IS NULL AND NOT EXISTS (SELECT 1 FROM \(place.live)inbox i
                  WHERE i.consumer_group = m.consumer_group AND i.source = m.source AND i.event_id = m.event_id)
                """)
        }
    }

    /// Runs the body with a transaction in which nobody else writes to the tables in use. When it has ended the new ones take their
    /// place, and what it says is to be published goes to the outbox, in the same transaction. When it throws, nothing changes.
    package func replace<Value: Sendable>(
        _ body: @Sendable (OpenTransaction) async throws -> (value: Value, publish: [FollowUp])
    ) async throws -> Value {
        try await place.attach()
        do {
            let value = try await OpenTransaction.with(records) { open in
                let place = place
                let tables = try await open.run { transaction in
                    let tables = try place.tables(in: transaction)
                    try place.lockLive(tables, in: transaction)
                    return tables
                }
                let (value, publish) = try await body(open)
                try await open.run { transaction in
                    try transaction.execute(
                        """
                        INSERT INTO \(place.live)inbox (consumer_group, source, event_id, handled_at)
                        SELECT consumer_group, source, event_id, handled_at FROM \(place.made)freshet_merge WHERE true
                        ON CONFLICT DO NOTHING
                        """)
                    for followUp in publish {
                        guard let event = followUp.event else { continue }
                        try InboxOutbox.add(
                            event, to: followUp.topic, deliverAt: followUp.deliverAt, in: transaction,
                            schema: place.live)
                    }
                    try place.replace(tables, in: transaction)
                }
                return value
            }
            await place.detach()
            return value
        } catch {
            await place.detach()
            throw error
        }
    }
}
