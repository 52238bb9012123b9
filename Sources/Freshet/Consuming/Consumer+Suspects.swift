internal import DequeModule
internal import Hiredis

/// Entries of which processes may die. Whatever a process holds when it dies counts one more delivery, also what only stood
/// beside the culprit: so those that were delivered often run one at a time, and count when they start.
extension Consumer {
    /// So many deliveries without an ending make a suspect.
    private static let suspicious = 3

    /// Takes up entries that were claimed, each with how often it was delivered by now: those that were delivered too often are
    /// dead letters, those that were delivered often are suspects.
    func take(
        _ entries: [(entry: StreamEntry, deliveries: Int)], of stream: ReadStream,
        askedAt: ContinuousClock.Instant
    ) async throws(RedisError) {
        var (usable, suspects) = ([StreamEntry](), [StreamID: Int]())
        for (entry, deliveries) in entries {
            guard deliveries <= options.maximumDeliveries else {
                deadLetter(entry, of: stream, deliveries: deliveries, askedAt: askedAt)
                continue
            }
            if deliveries >= Self.suspicious { suspects[entry.id] = deliveries }
            usable.append(entry)
        }
        if !suspects.isEmpty {
            // Until it starts this delivery does not count.
            let counts = suspects.sorted { $0.key < $1.key }.flatMap {
                [$0.key, $0.value - 1] as [any RedisArgument]
            }
            try await Scripts.count.run(
                on: broker.client, keys: [stream.key], arguments: [group.rawValue, name.rawValue] + counts)
        }
        take(usable, of: stream, from: .claim, readAt: askedAt, suspects: suspects)
    }

    /// Runs the body when it is the entry's turn, and counts the delivery before; hands the entry back when it is not to be run
    /// here any more.
    func runSuspect(_ entry: HeldEntry, _ body: () async -> Void) async {
        if suspectTurn.isTaken { await withCheckedContinuation { suspectTurn.waiting.append($0) } }
        suspectTurn.number += 1
        let turn = suspectTurn.number
        // One that runs for so long has not killed the process at once: the next one may start beside it.
        suspectTurn.until = clock.now + options.lease
        shares[0].upkeepAlarm.ring()
        if isDraining || Task.isCancelled {
            if Task.isCancelled { abandon(entry) } else { handBack(entry) }
        } else if isOrdered, !mayStart(entry) {
            // Its partition was lost while it waited.
            probeEnded(entry)
        } else if await isCounted(entry) {
            await body()
        } else {
            leaveToServer(entry)
        }
        if suspectTurn.number == turn { passSuspectTurn() }
    }

    /// Counts the delivery of a suspect; false when the entry is another consumer's by now.
    private func isCounted(_ entry: HeldEntry) async -> Bool {
        let arguments: [any RedisArgument] = [group.rawValue, name.rawValue, entry.id, entry.suspicion]
        // A server that does not answer is no reason to wait: then this delivery is not counted.
        let reply = try? await Scripts.count.run(
            on: broker.client, keys: [entry.stream.key], arguments: arguments)
        return reply.map { $0.integer == 1 } ?? true
    }

    /// The next suspect may start.
    func passSuspectTurn() {
        let next = suspectTurn.waiting.popFirst()
        suspectTurn.until = next == nil ? nil : clock.now + options.lease
        next?.resume()
    }
}

/// Whose turn it is among the suspects.
struct SuspectTurn {
    /// Counts the turns.
    var number = 0
    /// When the next one may start at the latest; nil when none runs.
    var until: ContinuousClock.Instant?
    var waiting: Deque<CheckedContinuation<Void, Never>> = []

    var isTaken: Bool { until != nil }

    /// Those who wait, whose turn will not come.
    mutating func takeWaiting() -> Deque<CheckedContinuation<Void, Never>> {
        defer { waiting = [] }
        return waiting
    }
}
