package import Freshet
internal import Hiredis

/// A service's tables made anew, beside those in use.
///
/// It has an inbox of its own, of the events that were met on the way: those whose effects it has, and those that no handler was
/// for. Only a service's own tables take the place of those in use; inbox and outbox stay, and the inbox is completed.
package struct Shadow: Sendable {
    /// Writes to the new tables.
    package let records: any Records
    /// The tables in use.
    let live: any Records
    let place: any ShadowPlace
    let group: GroupName
    /// Held as long as this is.
    private let lock: any RebuildLock

    /// What has changed in the tables in use since a moment.
    package struct Mark: Sendable {
        let inbox: Int64
        let outbox: Int64
    }

    /// Names an event.
    package struct EventName: Hashable, Sendable, CustomStringConvertible {
        package let source: String
        package let id: String
        package var description: String { "\(source)/\(id)" }

        package init(source: String, id: String) { (self.source, self.id) = (source, id) }
        package init(_ event: Event) { self.init(source: event.source, id: event.id) }
        init(_ row: RecordsRow) {
            self.init(source: row.text("source") ?? "", id: row.text("event_id") ?? "")
        }
    }

    /// Empty tables beside those of these records; what an earlier rebuild left is removed. Throws `busy` while another one is under
    /// way, of whichever process.
    package static func make(beside service: ServiceRecords, for group: GroupName) async throws -> Shadow {
        guard let live = service.database as? any RebuildableRecords else {
            throw RecordsError(.statement, "this database cannot have a service's tables made anew")
        }
        let lock = try await live.lockRebuilding()
        let place = try await live.makeShadowPlace()
        let shadow = Shadow(
            records: place.records, live: live, place: place, group: group, lock: lock)
        do {
            try await ServiceRecords.migrate(
                place.records, source: service.source, migrations: service.migrations)
            try await place.records.read { try place.check($0) }
        } catch {
            await shadow.remove()
            throw error
        }
        return shadow
    }

    /// Removes what is left of it.
    package func remove() async {
        await place.remove()
        await lock.release()
    }

    // MARK: - What has happened in the tables in use

    /// What changes from here on can be asked for.
    package func mark() async throws -> Mark { try await live.read { try place.mark(in: $0) } }

    /// The events that the service has handled since.
    package func handled(since mark: Mark) async throws -> Set<EventName> {
        let (group, place) = (group, place)
        return try await live.read { transaction in
            Set(
                try transaction.query(
                    "SELECT source, event_id FROM inbox i WHERE consumer_group = $1 AND \(place.inboxSince(mark))",
                    .text(group.rawValue)
                ).map(EventName.init))
        }
    }

    /// As above, within a transaction that sees both.
    package func handled(since mark: Mark, in transaction: any RecordsTransaction) throws -> Set<EventName> {
        Set(
            try transaction.query(
                "SELECT source, event_id FROM \(place.live)inbox i WHERE consumer_group = $1 AND \(place.inboxSince(mark))",
                .text(group.rawValue)
            ).map(EventName.init))
    }

    /// The events of the outbox that have been put there or published since, or wait.
    package func outbox(since mark: Mark) async throws -> [OutboxEvent] {
        let place = place
        return try await live.read { try Self.outbox(in: $0, place.outboxSince(mark), prefix: "") }
    }

    /// As above, within a transaction that sees both.
    package func outbox(since mark: Mark, in transaction: any RecordsTransaction) throws -> [OutboxEvent] {
        try Self.outbox(in: transaction, place.outboxSince(mark), prefix: place.live)
    }

    private static func outbox(in transaction: any RecordsTransaction, _ condition: String, prefix: String)
        throws -> [OutboxEvent]
    {
        try transaction.query("SELECT * FROM \(prefix)outbox o WHERE \(condition) ORDER BY seq").map {
            let waiting = try InboxOutbox.waiting($0)
            return OutboxEvent(topic: waiting.topic, event: waiting.event)
        }
    }

    /// Which of these events the service has handled.
    package func handled(among names: [EventName]) async throws -> Set<EventName> {
        guard !names.isEmpty else { return [] }
        let group = group
        return try await live.read { try Self.inbox(of: group, among: names, in: $0) }
    }

    /// Which of these events were met on the way.
    ///
    /// - Parameter open: the transaction in which to look; nil for none.
    package func met(among names: [EventName], within open: OpenTransaction? = nil) async throws
        -> Set<EventName>
    {
        guard !names.isEmpty else { return [] }
        guard let open else { return try await records.read { try met(among: names, in: $0) } }
        return try await open.run { try met(among: names, in: $0) }
    }

    private func met(among names: [EventName], in transaction: any RecordsTransaction) throws
        -> Set<EventName>
    { try Self.inbox(of: group, among: names, in: transaction, schema: place.made) }

    private static func inbox(
        of group: GroupName, among names: [EventName], in transaction: any RecordsTransaction,
        schema: String = ""
    ) throws -> Set<EventName> {
        var found: Set<EventName> = []
        for name in names {
            let rows = try transaction.query(
                "SELECT 1 AS found FROM \(schema)inbox WHERE consumer_group = $1 AND source = $2 AND event_id = $3",
                .text(group.rawValue), .text(name.source), .text(name.id))
            if !rows.isEmpty { found.insert(name) }
        }
        return found
    }

    /// The events that the service had handled before the mark, and that were not met on the way: how many, and some of them.
    package func unmet(before mark: Mark) async throws -> (count: Int, some: [EventName]) {
        let (group, place) = (group, place)
        let condition = """
            FROM \(place.live)inbox i WHERE consumer_group = $1 AND NOT (\(place.inboxSince(mark)))
              AND NOT EXISTS (SELECT 1 FROM \(place.made)inbox m WHERE m.consumer_group = i.consumer_group
                AND m.source = i.source AND m.event_id = i.event_id)
            """
        return try await seeingBoth { transaction in
            let count = try transaction.query("SELECT count(*) AS n \(condition)", .text(group.rawValue))
            let some = try transaction.query(
                "SELECT source, event_id \(condition) LIMIT 5", .text(group.rawValue))
            return (Int(count.first?.integer("n") ?? 0), some.map(EventName.init))
        }
    }

    func seeingBoth<Value: Sendable>(
        _ body: @escaping @Sendable (any RecordsTransaction) throws -> Value
    ) async throws -> Value {
        try await place.attach()
        do {
            let value = try await records.read(body)
            await place.detach()
            return value
        } catch {
            await place.detach()
            throw error
        }
    }
}

/// An event of an outbox.
package struct OutboxEvent: Sendable {
    /// Where it goes.
    package let topic: Topic
    /// The event.
    package let event: Event
}
