/// Bounds of the memory that keeping an order takes. Tests lower them, so that each is crossed often.
package struct OrderingLimits: Sendable {
    /// Events of a busy key that wait in memory.
    package var waitingPerKey = 8
    /// Deferred events of a partition whose ids are kept; the others are found in the pending list when their
    /// key gets there.
    package var deferred = 10_000
    /// Keys of a consumer with an event that runs or waits. At this limit no new events are read, only
    /// retries.
    package var keys = 100_000
    /// Entries in one step of a takeover, a comparison or a search.
    package var page = 500

    /// The limits of production.
    package init() {}
}
