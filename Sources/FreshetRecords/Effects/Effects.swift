public import Freshet

/// What a handler may do within its event's transaction.
public final class Effects: RecordsTransaction {
    /// The delivery whose effects these are.
    public let delivery: Delivery
    private let transaction: any RecordsTransaction
    private let source: String
    private(set) var hasPublished = false
    /// What is said with the first event that is published.
    private let announcement: RecordsStatement?
    private let silence: Silence?
    /// What would have been published, were it not for the silence.
    private(set) var unsaid: [FollowUp] = []

    init(
        transaction: any RecordsTransaction, delivery: Delivery, source: String,
        announcement: RecordsStatement? = nil, silence: Silence? = nil
    ) {
        self.silence = silence
        self.transaction = transaction
        self.delivery = delivery
        self.source = source
        self.announcement = announcement
    }

    /// Runs a statement; returns how many rows it changed.
    @discardableResult
    public func execute(_ sql: String, _ values: [RecordsValue]) throws -> Int {
        try transaction.execute(sql, values)
    }

    /// Runs a query; returns its rows.
    public func query(_ sql: String, _ values: [RecordsValue]) throws -> [RecordsRow] {
        try transaction.query(sql, values)
    }

    /// Runs a statement that nothing else in the handler depends on, without waiting for it.
    public func enqueue(_ sql: String, _ values: [RecordsValue]) throws {
        try transaction.enqueue(sql, values)
    }

    /// Makes transactions that lock the same name run one after the other from here on.
    public func lock(_ name: String) throws {
        // Nobody else writes to tables that are made anew, and live transactions are not to wait.
        if silence == nil { try transaction.lock(name) }
    }

    /// Publishes an event if and when the transaction commits, as the next part of the delivery's story. During a rebuild nothing is
    /// published: the event is looked for in the history.
    ///
    /// - Parameters:
    ///   - key: what must stay in order; events with the same key are published in the order of their commits.
    ///   - time: when it is to be delivered, not before; nil is at once.
    public func publish(
        _ payload: some EventPayload, to topic: Topic, key: String?, deliverAt time: Timestamp? = nil
    ) throws {
        if let silence {
            let event =
                silence.keepsEvents
                ? try Event(payload, source: source, key: key, causedBy: delivery.event) : nil
            return unsaid.append(
                FollowUp(
                    topic: topic, type: Swift.type(of: payload).eventType, key: key,
                    causationID: delivery.event.id, causedAt: delivery.replay?.originalTime, deliverAt: time,
                    event: event))
        }
        var event = try Event(payload, source: source, key: key, causedBy: delivery.event)
        event.traceparent = delivery.traceparent
        try InboxOutbox.add(event, to: topic, deliverAt: time, in: transaction)
        if !hasPublished, let announcement {
            try transaction.enqueue(announcement.sql, announcement.values)
        }
        hasPublished = true
    }
}

/// What a rebuild does to publishing.
struct Silence {
    /// Whether events are made all the same: some may have to be published in the end.
    let keepsEvents: Bool
}
