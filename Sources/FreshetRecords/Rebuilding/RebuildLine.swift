package import Freshet
internal import Hiredis
internal import Synchronization

/// Where the effects of handlers go while a service's records are made anew.
///
/// Handlers run one after the other. While it `gathers`, what a handler would do in its transaction is only noted, to be done with
/// that of many others in one transaction: a body's only effects are those on the database, so it may run later. A handler that
/// asks its database something in between cannot be run so; it is run again `directly`.
package final class RebuildLine: Sendable {
    /// What a handler would do.
    package struct Work: Sendable {
        let delivery: Delivery
        let body: @Sendable (Effects) throws -> Void
    }

    /// A handler asked its database for something while its effects were only gathered.
    struct NotGathered: Error {}

    private enum Mode {
        case gathering([Work])
        /// The handler needs its database.
        case spoiled
        case direct
    }
    private struct State {
        var mode = Mode.direct
        var open: OpenTransaction?
        var outcome = Outcome()
    }

    /// What came of handlers.
    package struct Outcome: Sendable {
        /// How many events had their effects.
        package var applied = 0
        /// What would have been published.
        package var said: [FollowUp] = []

        /// Nothing.
        package init() {}
    }
    private let state = Guarded(State())
    private let shadow: any Records
    private let source: String
    /// Whether events that would be published are kept, because some may have to be.
    private let keepsEvents: Bool

    package init(_ shadow: any Records, source: String, keepsEvents: Bool) {
        self.shadow = shadow
        self.source = source
        self.keepsEvents = keepsEvents
    }

    // MARK: - For the rebuild

    /// What the handlers that the body runs would do; nil when one needs its database. Throws what the body throws.
    package func gather(_ body: () async throws -> Void) async throws -> [Work]? {
        state.withLock { $0.mode = .gathering([]) }
        defer { state.withLock { $0.mode = .direct } }
        do { try await body() } catch {
            if case .spoiled = state.withLock({ $0.mode }) { return nil }
            throw error
        }
        if case .gathering(let works) = state.withLock({ $0.mode }) { return works } else { return nil }
    }

    /// Does what was gathered in one transaction, and notes events that were passed over.
    package func commit(_ works: [Work], passedOver: [Delivery]) async throws -> Outcome {
        guard !works.isEmpty || !passedOver.isEmpty else { return Outcome() }
        let first =
            works.map { InboxOutbox.entering($0.delivery) } + passedOver.map(InboxOutbox.passingOver)
        let (source, keepsEvents) = (source, keepsEvents)
        return try await perform(after: first) { transaction, entered in
            var outcome = Outcome()
            for (work, entered) in zip(works, entered) where entered == 1 {
                let effects = Effects(
                    transaction: transaction, delivery: work.delivery, source: source,
                    silence: Silence(keepsEvents: keepsEvents))
                try work.body(effects)
                outcome.applied += 1
                outcome.said += effects.unsaid
            }
            return outcome
        }
    }

    /// From here on handlers run within this transaction; nil ends it.
    package func use(_ transaction: OpenTransaction?) { state.withLock { $0.open = transaction } }

    /// What came of handlers that ran directly since it was last asked for.
    package func takeOutcome() -> Outcome {
        state.withLock { state in
            defer { state.outcome = Outcome() }
            return state.outcome
        }
    }

    // MARK: - For the handlers

    func handle(_ delivery: Delivery, _ body: @escaping @Sendable (Effects) throws -> Void) async throws
        -> ServiceRecords.Handled
    {
        let isGathered = state.withLock { state in
            guard case .gathering(var works) = state.mode else { return false }
            state.mode = .direct
            works.append(Work(delivery: delivery, body: body))
            state.mode = .gathering(works)
            return true
        }
        if isGathered { return .applied }
        let (source, keepsEvents) = (source, keepsEvents)
        let said = try await transaction(after: [InboxOutbox.entering(delivery)]) {
            transaction, entered -> [FollowUp]? in
            guard entered == [1] else { return nil }
            let effects = Effects(
                transaction: transaction, delivery: delivery, source: source,
                silence: Silence(keepsEvents: keepsEvents))
            try body(effects)
            return effects.unsaid
        }
        guard let said else { return .duplicate }
        state.withLock { state in
            state.outcome.applied += 1
            state.outcome.said += said
        }
        return .applied
    }

    func transaction<Value: Sendable>(
        after first: [RecordsStatement],
        _ body: @escaping @Sendable (any RecordsTransaction, [Int]) throws -> Value
    ) async throws -> Value {
        try needDatabase()
        return try await perform(after: first, body)
    }

    private func perform<Value: Sendable>(
        after first: [RecordsStatement],
        _ body: @escaping @Sendable (any RecordsTransaction, [Int]) throws -> Value
    ) async throws -> Value {
        guard let open = state.withLock({ $0.open }) else {
            return try await shadow.transaction(after: first, body)
        }
        return try await open.runAlone { transaction in
            let changes = try first.map { try transaction.execute($0.sql, $0.values) }
            return try body(transaction, changes)
        }
    }

    func read<Value: Sendable>(_ body: @escaping @Sendable (any RecordsTransaction) throws -> Value)
        async throws -> Value
    {
        try needDatabase()
        guard let open = state.withLock({ $0.open }) else { return try await shadow.read(body) }
        return try await open.runAlone(body)
    }

    private func needDatabase() throws {
        try state.withLock { state in
            if case .direct = state.mode { return }
            state.mode = .spoiled
            throw NotGathered()
        }
    }
}

/// The records that handlers see during a rebuild.
struct RebuildDatabase: Records {
    let line: RebuildLine
    let dialect: SQLDialect

    func transaction<Value: Sendable>(
        after first: [RecordsStatement],
        _ body: @escaping @Sendable (any RecordsTransaction, [Int]) throws -> Value
    ) async throws -> Value { try await line.transaction(after: first, body) }

    func read<Value: Sendable>(_ body: @escaping @Sendable (any RecordsTransaction) throws -> Value)
        async throws -> Value
    { try await line.read(body) }
}
