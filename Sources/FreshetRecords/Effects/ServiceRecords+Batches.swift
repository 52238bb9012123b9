public import Freshet
internal import Logging

extension ServiceRecords {
    /// Applies the effects of a batch in one transaction, except of those events that this group has applied before; for a handler
    /// of batches (`OnBatch`). Returns what became of each.
    ///
    /// When it throws nothing is committed, of no event of the batch; `OnBatch` then gives the handler each event alone, and only
    /// those that fail again are retried. Throws `StaleOwner` as `handle` of one delivery does.
    ///
    /// - Parameter body: is called for each event that was not applied before, in the order of the batch.
    @discardableResult
    public func handle<Payload>(
        _ events: [BatchedEvent<Payload>], _ body: @escaping @Sendable (Payload, Effects) throws -> Void
    ) async throws -> [Handled] {
        if let rebuilding {
            var handled: [Handled] = []
            for event in events {
                let payload = event.payload
                handled.append(try await rebuilding.handle(event.delivery) { try body(payload, $0) })
            }
            return handled
        }
        let announcement = relay.announcement
        let (handled, publishes) = try await outage.sitOut {
            let entering = events.map { InboxOutbox.entering($0.delivery) }
            return try await database.transaction(after: entering) { transaction, entered in
                // The events of a partition mostly have one owner.
                var checked: [Int: PartitionClaim] = [:]
                var publishes = false
                for (event, entered) in zip(events, entered) {
                    let partition = event.delivery.partition
                    if let claim = event.delivery.claim,
                        checked.updateValue(claim, forKey: partition) != claim
                    {
                        try check(event.delivery, in: transaction)
                    }
                    guard entered == 1 else { continue }
                    let effects = Effects(
                        transaction: transaction, delivery: event.delivery, source: source,
                        announcement: publishes ? nil : announcement)
                    try body(event.payload, effects)
                    try reachedCommit(event.delivery, in: transaction)
                    publishes = publishes || effects.hasPublished
                }
                return (entered.map { $0 == 1 ? Handled.applied : .duplicate }, publishes)
            }
        }
        Drill.reached(.afterCommit)
        for (event, handled) in zip(events, handled) where handled == .duplicate {
            logger.debug("handled before", metadata: ["event_id": "\(event.delivery.event.id)"])
        }
        if publishes { relay.wake() }
        return handled
    }
}
