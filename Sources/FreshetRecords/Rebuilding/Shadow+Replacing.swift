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
            let value = try await OpenTransaction.with(records, didCommit: { try await hasReplaced() }) {
                open in
                let place = place
                let tables = try await open.run { transaction in
                    let tables = try place.tables(in: transaction)
                    try place.lockLive(tables, in: transaction)
                    try Self.checkSteps(place, in: transaction)
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
                    // Where it is gone the new tables are in use.
                    try transaction.execute("DROP TABLE \(place.made)freshet_merge")
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

    /// Whether the new tables have taken their place; asks until the database answers. For a connection that was lost in that moment.
    package func hasReplaced() async throws -> Bool {
        let place = place
        for attempt in 1... {
            do {
                return try await records.transaction { transaction in
                    try place.awaitReplacing(in: transaction)
                    return try !place.isPrepared(in: transaction)
                }
            } catch {
                guard attempt < 120 else {
                    throw RecordsError(
                        .unknownOutcome,
                        "the connection was lost while the new tables took their place, and the database does not say "
                            + "whether they did: \(error)")
                }
            }
            try await Task.sleep(for: .milliseconds(500))
        }
        return false
    }

    /// Tables of other steps than those in use must not take their place: a newer program may have gone on with these meanwhile.
    private static func checkSteps(_ place: any ShadowPlace, in transaction: any RecordsTransaction) throws {
        func steps(_ schema: String) throws -> [String: Int64] {
            var steps: [String: Int64] = [:]
            for row in try transaction.query(
                "SELECT owner, max(number) AS newest FROM \(schema)freshet_migrations GROUP BY owner")
            { steps[row.text("owner") ?? ""] = row.integer("newest") }
            return steps
        }
        let live = try steps(place.live)
        for (owner, made) in try steps(place.made) where live[owner] != made {
            throw RecordsError(
                .tooNew,
                "the tables in use are at step \(live[owner] ?? 0) of '\(owner)' by now, and the new ones at step \(made): "
                    + "rebuild with the program that made that step")
        }
    }
}
