internal import Freshet
internal import FreshetRecords
internal import Hiredis

/// Every published event is, for every group, in exactly one state; nothing was handled that was not published.
struct DeliveryChecks: Sendable {
    let broker: Broker
    let history: History
    let services: [String: ServiceState]
    /// How many events wait for their time; counted before the history was read, in which those stand that came meanwhile.
    let scheduledCount: Int

    static func scheduledCount(_ broker: Broker) async throws -> Int {
        var count = 0
        for topic in ShopTopology.topics {
            for partition in 0..<topic.partitions {
                let key = broker.keys(topic.name, partition).scheduled
                count += try await broker.client.send(RedisCommand("ZCARD", key)).integer ?? 0
            }
        }
        return count
    }

    func run() async throws -> [Check] {
        var checks: [Check] = []
        for reading in ShopTopology.readings { checks.append(try await oneState(reading)) }
        let published = Set(history.events.values.flatMap(\.keys))
        let phantoms = services.values.flatMap(\.inbox).filter { !published.contains($0) }
        checks.append(
            .of(
                "delivery", "nothing was handled that was not published",
                offenders: phantoms.map(\.description),
                otherwise: "\(published.count) events published"))
        let lost = services.values.flatMap(\.published).filter { !published.contains($0) }
        let (left, waiting) = services.values.reduce((0, 0)) {
            ($0.0 + $1.published.count, $0.1 + $1.waiting)
        }
        checks.append(
            .of(
                "delivery", "nothing that left an outbox is missing from its log",
                offenders: lost.map(\.description),
                otherwise: "\(left) events from outboxes, \(waiting) wait in them"))
        checks.append(inTime(published))
        return checks
    }

    /// Scheduled events stand in their log from their time on, and wait until then.
    private func inTime(_ published: Set<History.Key>) -> Check {
        var first: [History.Key: StreamID] = [:]
        for (id, key) in history.places.values.joined() { first[key] = min(first[key] ?? id, id) }
        let scheduled = services.values.flatMap(\.scheduled)
        var offenders: [String] = []
        var missing = 0
        for (key, due) in scheduled {
            if let place = first[key] {
                if Int64(place.milliseconds) < due { offenders.append("\(key) came before its time") }
            } else {
                missing += 1
            }
        }
        if missing > scheduledCount {
            offenders.append("\(missing - scheduledCount) are neither in their log nor waiting")
        }
        return .of(
            "delivery", "what was scheduled waits, and comes no sooner than its time", offenders: offenders,
            otherwise: "\(scheduled.count - missing) came, \(missing) wait")
    }

    private func oneState(_ reading: Reading) async throws -> Check {
        let topic = reading.topic.name
        let handled = services[reading.group.rawValue]?.inbox ?? []
        var (dead, invalid): (Set<History.Key>, Set<History.Key>) = ([], [])
        var deadTwice: [String] = []
        var invalidPlaces: Set<StreamID> = []
        for partition in 0..<reading.topic.partitions {
            let keys = broker.keys(topic, partition)
            var deadPlaces: Set<StreamID> = []
            for try await entry in broker.entries(of: keys.dead(reading.group)) {
                guard let event = try? entry.event() else { continue }
                let key = History.Key(source: event.source, id: event.id)
                dead.insert(key)
                if let place = entry.originalID, !deadPlaces.insert(place).inserted {
                    deadTwice.append("\(key) is dead twice")
                }
            }
            for try await entry in broker.entries(of: keys.invalid(reading.group)) {
                guard let place = entry.originalID else { continue }
                invalidPlaces.insert(place)
                if let key = history.places[topic]?[place] { invalid.insert(key) }
            }
        }
        let expected = (history.events[topic] ?? [:]).filter { reading.types.contains($0.value) }.keys
        let twice = expected.filter { key in
            [handled, dead, invalid].filter { $0.contains(key) }.count > 1
        }
        let missing = expected.filter { !handled.contains($0) && !dead.contains($0) && !invalid.contains($0) }
        let missingInvalid = (history.invalid[topic] ?? []).subtracting(invalidPlaces)
        let open = try await open(reading)
        let name = "each event of '\(topic)' is in one state for '\(reading.group)'"
        var offenders = twice.map { "\($0) twice" } + deadTwice
        if missing.count + missingInvalid.count > open {
            offenders += missing.map { "\($0) nowhere" } + missingInvalid.map { "entry \($0) nowhere" }
        }
        let done = expected.filter { handled.contains($0) }.count
        return .of(
            "delivery", name, offenders: offenders,
            otherwise: "\(done) done, \(dead.count) dead, \(invalidPlaces.count) invalid, \(open) open")
    }

    private func open(_ reading: Reading) async throws -> Int {
        try await broker.groupReports(topic: reading.topic.name, group: reading.group)
            .reduce(0) { $0 + $1.waiting + $1.pending + $1.delayed }
    }
}
