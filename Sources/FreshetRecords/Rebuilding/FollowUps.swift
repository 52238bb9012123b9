package import Freshet

/// Follow-ups that handlers would publish, matched with those that stand in the history.
///
/// A follow-up stands behind its cause, so what is held is a window: expected, and not come by yet. It is the same when topic, type,
/// key and cause are. Which of several events has the last word can depend on the order in which they are handled, and then
/// another one is the cause: in the end what is left may also be matched by its key alone.
///
/// The window can be long, so most of it is numbers: names are known by their hash.
package struct FollowUps: Sendable {
    private struct Expected {
        /// Topic, type and key; nil without a key.
        let name: Int?
        /// Whether the history could have lost it.
        let mayBeLost: Bool
        var count = 1
    }
    private var expected: [Int: Expected] = [:]
    /// What is more than a number: some of what is expected, and all that may have to be published.
    private var details: [Int: [FollowUp]] = [:]
    private var types: Set<EventType> = []
    /// What waits for its time, and was not expected yet.
    private var scheduled: [Int: Int] = [:]
    /// What came by and was not expected, of types that handlers publish, by exact name; and the same without the cause.
    private var others: [Int: Int] = [:]
    private var otherNames: [Int: Int] = [:]
    private var seen = RecentNames()
    private static let mostDetails = 10_000
    private static let mostOthers = 200_000

    /// How many are expected and have not come by.
    package private(set) var count = 0

    package init() {}

    /// A handler would publish it.
    ///
    /// - Parameter mayBeLost: whether it may have been published, and be gone from the history since.
    package mutating func expect(_ followUp: FollowUp, mayBeLost: Bool = false) {
        let (name, exact) = Self.numbers(
            followUp.topic.name, followUp.type, followUp.key, followUp.causationID)
        if Self.take(exact, from: &scheduled) { return }
        if Self.take(exact, from: &others) {
            _ = Self.take(name, from: &otherNames)
            return
        }
        types.insert(followUp.type)
        if expected[exact] == nil {
            expected[exact] = Expected(
                name: followUp.key == nil ? nil : name, mayBeLost: mayBeLost)
        } else {
            expected[exact]?.count += 1
        }
        if followUp.event != nil || details.count < Self.mostDetails {
            details[exact, default: []].append(followUp)
        }
        count += 1
    }

    /// It waits for its time, before anything else has come by.
    package mutating func schedule(_ event: Event, in topic: TopicName) {
        guard let cause = event.causationID else { return }
        scheduled[Self.numbers(topic, event.type, event.partitionKey, cause).exact, default: 0] += 1
    }

    /// It stands in the history, or waits to.
    package mutating func observe(_ event: Event, in topic: TopicName) {
        guard let cause = event.causationID, seen.insert(event.id) else { return }
        let (name, exact) = Self.numbers(topic, event.type, event.partitionKey, cause)
        if let held = expected[exact] {
            if held.count > 1 { expected[exact]?.count -= 1 } else { expected[exact] = nil }
            details[exact]?.removeFirst()
            if details[exact]?.isEmpty == true { details[exact] = nil }
            count -= 1
        } else if types.contains(event.type), event.partitionKey != nil, others.count < Self.mostOthers {
            others[exact, default: 0] += 1
            otherNames[name, default: 0] += 1
        }
    }

    /// What no event of the history can be: how many, as many of them as are known by more than a number, and of how many more
    /// nobody can say whether they were published.
    package var missing: (count: Int, some: [FollowUp], unknown: Int) {
        var (free, missing, some, unknown) = (otherNames, 0, [FollowUp](), 0)
        for (exact, held) in expected {
            var left = held.count
            while left > 0, let name = held.name, Self.take(name, from: &free) { left -= 1 }
            guard !held.mayBeLost else {
                unknown += left
                continue
            }
            missing += left
            some += (details[exact] ?? []).suffix(left)
        }
        return (missing, some, unknown)
    }

    private static func take(_ number: Int, from counts: inout [Int: Int]) -> Bool {
        guard let count = counts[number] else { return false }
        counts[number] = count > 1 ? count - 1 : nil
        return true
    }

    private static func numbers(_ topic: TopicName, _ type: EventType, _ key: String?, _ cause: String) -> (
        name: Int, exact: Int
    ) {
        var hasher = Hasher()
        hasher.combine(topic)
        hasher.combine(type)
        hasher.combine(key)
        let name = hasher
        hasher.combine(cause)
        return (name.finalize(), hasher.finalize())
    }
}

/// The names that were added lately, at least so many: an outbox and a log may both have an event.
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
