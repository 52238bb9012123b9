package import Freshet

/// An event that a handler would publish: during a rebuild it is looked for in the history instead.
package struct FollowUp: Sendable {
    /// Where it would go.
    package let topic: Topic
    /// What happened.
    package let type: EventType
    /// What must stay in order.
    package let key: String?
    /// The event that it follows.
    package let causationID: String
    /// When it would be delivered; nil is at once.
    package let deliverAt: Timestamp?
    /// The event itself, when it may have to be published.
    package let event: Event?

    package init(
        topic: Topic, type: EventType, key: String?, causationID: String, deliverAt: Timestamp? = nil,
        event: Event? = nil
    ) {
        self.topic = topic
        self.type = type
        self.key = key
        self.causationID = causationID
        self.deliverAt = deliverAt
        self.event = event
    }
}

/// Follow-ups that handlers would publish, matched with those that stand in the history.
///
/// A follow-up stands behind its cause, so what is held is a window: expected, and not come by yet. It is the same when topic, type
/// and cause are. Which of several events has the last word can depend on the order in which they are handled, and then
/// another one is the cause: in the end what is left may also be matched by its key.
package struct FollowUps: Sendable {
    private struct Name: Hashable {
        let topic: TopicName
        let type: EventType
        let key: String?
    }
    private var expected: [Name: [FollowUp]] = [:]
    /// What waits for its time, and was not expected yet: it can be as much as all else, so it is known by a number.
    private var scheduled: Set<Int> = []
    /// What came by lately: an outbox and a log may both have it.
    private var seen = RecentNames()
    private var types: Set<EventType> = []
    /// What came by and was not expected, of types that handlers publish; the newest ones.
    private var others: [Name: [String]] = [:]
    private var otherNames: [Name] = []
    private static let mostOthers = 100_000

    /// How many are expected and have not come by.
    package private(set) var count = 0

    package init() {}

    /// A handler would publish it.
    package mutating func expect(_ followUp: FollowUp) {
        let name = Name(topic: followUp.topic.name, type: followUp.type, key: followUp.key)
        if scheduled.remove(Self.number(name.topic, followUp.type, followUp.causationID)) != nil { return }
        if let index = others[name]?.firstIndex(of: followUp.causationID) {
            others[name]?.remove(at: index)
            return
        }
        types.insert(followUp.type)
        expected[name, default: []].append(followUp)
        count += 1
    }

    /// It waits for its time, before anything else has come by.
    package mutating func schedule(_ event: Event, in topic: TopicName) {
        guard let causationID = event.causationID else { return }
        scheduled.insert(Self.number(topic, event.type, causationID))
    }

    private static func number(_ topic: TopicName, _ type: EventType, _ causationID: String) -> Int {
        var hasher = Hasher()
        hasher.combine(topic)
        hasher.combine(type)
        hasher.combine(causationID)
        return hasher.finalize()
    }

    /// It stands in the history, or waits to.
    package mutating func observe(_ event: Event, in topic: TopicName) {
        guard let causationID = event.causationID, seen.insert(event.id) else { return }
        let (type, key) = (event.type, event.partitionKey)
        let name = Name(topic: topic, type: type, key: key)
        if let index = expected[name]?.firstIndex(where: { $0.causationID == causationID }) {
            remove(index, of: name)
        } else if types.contains(type), key != nil {
            if otherNames.count >= 2 * Self.mostOthers { forgetOldest() }
            others[name, default: []].append(causationID)
            otherNames.append(name)
        }
    }

    /// What no event of the history can be.
    package var missing: [FollowUp] {
        expected.flatMap { name, followUps in
            followUps.dropFirst(name.key == nil ? 0 : others[name]?.count ?? 0)
        }
    }

    private mutating func remove(_ index: Int, of name: Name) {
        expected[name]?.remove(at: index)
        if expected[name]?.isEmpty == true { expected[name] = nil }
        count -= 1
    }

    private mutating func forgetOldest() {
        for name in otherNames.prefix(Self.mostOthers) {
            if others[name]?.isEmpty == false { others[name]?.removeFirst() }
            if others[name]?.isEmpty == true { others[name] = nil }
        }
        otherNames.removeFirst(Self.mostOthers)
    }
}

/// The names that were added lately, at least so many.
private struct RecentNames: Sendable {
    private static let least = 200_000
    private var newer: Set<Int> = []
    private var older: Set<Int> = []

    /// False when it is there.
    mutating func insert(_ name: String) -> Bool {
        let number = name.hashValue
        guard !older.contains(number), newer.insert(number).inserted else { return false }
        if newer.count >= Self.least { (older, newer) = (newer, []) }
        return true
    }
}
