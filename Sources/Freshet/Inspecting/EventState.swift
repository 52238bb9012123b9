public import Hiredis

/// What became of one event for one group.
public struct EventState: Sendable, Hashable, Codable {
    /// The kinds of states.
    public enum Kind: String, Sendable, Hashable, Codable, CaseIterable {
        /// Handled, or of a type that the group has no handler for: nothing of it is left to do.
        case settled
        /// Not taken by any consumer yet.
        case waiting
        /// Taken by a consumer and not settled.
        case pending
        /// Tried in vain, and waiting for its next attempt.
        case delayed
        /// Given up.
        case dead
        /// Could not be read.
        case invalid
        /// From before the group's start: not meant for it.
        case before
    }

    /// The group.
    public let group: GroupName
    /// What became of it.
    public let kind: Kind
    /// The consumer that holds it, when it is pending.
    public internal(set) var consumer: String?
    /// Seconds since that consumer took it, or showed that it still has it.
    public internal(set) var heldSeconds: Double?
    /// How often it was delivered without being settled, when it is pending.
    public internal(set) var deliveries: Int?
    /// How many attempts failed.
    public internal(set) var failedAttempts: Int?
    /// When it comes again, RFC 3339.
    public internal(set) var dueAt: String?
    /// Why it failed last, was given up, or could not be read.
    public internal(set) var reason: String?
    /// When it was given up, RFC 3339.
    public internal(set) var failedAt: String?
    /// The replay that brings it again.
    public internal(set) var replay: String?
    /// How often it was brought back from the dead letters.
    public internal(set) var retries: Int?
    /// Whether it is known that the group has no handler for what comes of its type by itself: settled then means passed over.
    public internal(set) var isUnhandled = false

    /// Whether something of it is left to do, for the group or for people.
    public var isOpen: Bool { kind != .settled && kind != .before }

    init(_ group: GroupName, _ kind: Kind) {
        self.group = group
        self.kind = kind
    }
}

/// Where an event stands in a topic's log.
public struct EventPlace: Sendable, Hashable {
    /// The partition, from 0.
    public let partition: Int
    /// The entry.
    public let position: StreamID

    /// This place.
    public init(partition: Int, position: StreamID) {
        self.partition = partition
        self.position = position
    }
}

extension Broker {
    /// What became of these events of a topic for a group.
    ///
    /// Each is looked up where the group holds things back: that costs a look at all of its retries, and at what it had to see again and
    /// gave up since the oldest of the events. What settles while the server is asked can still count as on its way.
    public func states(of events: [EventPlace: EventType], topic: Topic, group: GroupName) async throws
        -> [EventPlace: EventState]
    {
        var found: [EventPlace: EventState] = [:]
        let handled = try await handledTypes(of: group, topic: topic.name)
        for partition in Set(events.keys.map(\.partition)) {
            let start = try await send(
                RedisCommand("HGET", namespace.topicKey(topic.name), "start:\(group):\(partition)")
            ).streamID
            let delivered = try await position(of: group, topic: topic.name, partition: partition)?.delivered
            for (place, type) in events where place.partition == partition {
                if place.position <= start ?? .zero {
                    found[place] = EventState(group, .before)
                } else if place.position > delivered ?? .zero {
                    found[place] = EventState(group, .waiting)
                } else if let held = try await held(
                    place.position, in: keys(topic.name, partition).events, by: group)
                {
                    found[place] = held
                } else {
                    found[place] = EventState(group, .settled)
                    if let handled, handled[type]?.contains(.live) != true {
                        found[place]?.isUnhandled = true
                    }
                }
            }
        }
        // In the order in which an event moves on, retries before and behind what they become: it is then met at least once.
        try await addRetries(of: events, topic, group, to: &found)
        for partition in Set(events.keys.map(\.partition)) {
            try await addRedeliveries(of: events, topic, partition, group, to: &found)
        }
        try await addRetries(of: events, topic, group, to: &found)
        for partition in Set(events.keys.map(\.partition)) {
            try await addSetAside(of: events, topic, partition, group, to: &found)
        }
        return found
    }

    private func addRetries(
        of events: [EventPlace: EventType], _ topic: Topic, _ group: GroupName,
        to found: inout [EventPlace: EventState]
    ) async throws {
        var retries: [ScheduledRetry] = []
        try await forEachRetry(of: group, topic: topic) { retry in
            let place = retry.position.map { EventPlace(partition: retry.partition, position: $0) }
            if let place, events[place] != nil { retries.append(retry) }
            return true
        }
        for retry in retries {
            var state = EventState(group, .delayed)
            (state.failedAttempts, state.dueAt, state.reason) = (retry.attempts, retry.dueAt, retry.reason)
            found[EventPlace(partition: retry.partition, position: retry.position ?? .zero)] = state
        }
    }

    private func addRedeliveries(
        of events: [EventPlace: EventType], _ topic: Topic, _ partition: Int, _ group: GroupName,
        to found: inout [EventPlace: EventState]
    ) async throws(FreshetError) {
        let stream = keys(topic.name, partition).redelivery(group)
        for try await entry in entries(of: stream, in: Self.behind(events, partition)) {
            guard let place = Self.place(of: entry, partition, among: events),
                entry.field("freshetcancelled") == nil
            else { continue }
            var state = try await held(entry.id, in: stream, by: group) ?? EventState(group, .waiting)
            state.failedAttempts = entry.field(Field.attempt)?.integer
            state.reason = entry.field(Field.reason)?.string
            state.replay = entry.field(Field.replay)?.string
            state.retries = entry.field(Field.retries)?.integer
            found[place] = state
        }
    }

    private func addSetAside(
        of events: [EventPlace: EventType], _ topic: Topic, _ partition: Int, _ group: GroupName,
        to found: inout [EventPlace: EventState]
    ) async throws(FreshetError) {
        for kind in SetAside.allCases {
            let stream = keys(topic.name, partition).setAside(kind, group)
            for try await entry in entries(of: stream, in: Self.behind(events, partition)) {
                guard let place = Self.place(of: entry, partition, among: events) else { continue }
                let letter = DeadLetter(entry, partition: partition)
                var state = EventState(group, kind == .dead ? .dead : .invalid)
                (state.reason, state.failedAt) = (letter.reason, letter.failedAt)
                if kind == .dead { state.failedAttempts = letter.attempts }
                if letter.retries > 0 { state.retries = letter.retries }
                found[place] = state
            }
        }
    }

    /// What became of an event stands behind the event itself, by the server's clock; a clock that was set back by less than a minute
    /// hides nothing.
    private static func behind(_ events: [EventPlace: EventType], _ partition: Int) -> ClosedRange<StreamID> {
        let first = events.keys.filter { $0.partition == partition }.map(\.position).min() ?? .zero
        let earliest = first.milliseconds > 60_000 ? first.milliseconds - 60_000 : 0
        return StreamID(milliseconds: earliest, sequence: 0) ... .newest
    }

    private static func place(
        of entry: StreamEntry, _ partition: Int, among events: [EventPlace: EventType]
    ) -> EventPlace? {
        guard let position = entry.originalID else { return nil }
        let place = EventPlace(partition: partition, position: position)
        return events[place] == nil ? nil : place
    }

    /// Nil when nobody holds the entry, or the group does not exist there.
    private func held(_ id: StreamID, in stream: String, by group: GroupName) async throws(FreshetError)
        -> EventState?
    {
        do throws(RedisError) {
            let pending = try await client.send(.xpending(stream, group.rawValue, id...id, count: 1))
            guard let entry = pending.first else { return nil }
            var state = EventState(group, .pending)
            state.consumer = entry.consumer
            state.heldSeconds = Double(entry.idle.inMilliseconds) / 1000
            state.deliveries = entry.deliveries
            return state
        } catch {
            if error.serverCode == .noGroup { return nil }
            throw FreshetError(error)
        }
    }
}
