internal import Freshet
internal import Hiredis

extension Conformance {
    static let replays: [Conformance] = [
        Conformance("a delivery that no handler is for is passed over, and the group says what it handles") {
            target in
            let seen = Record<String>()
            @Sendable func note(_ place: String, _ note: Noted, _ delivery: Delivery) {
                let replay = delivery.replay.map { "\($0.id) \($0.mode)" } ?? "live"
                seen.add("\(place) \(note.name) \(replay)")
                if let replay = delivery.replay,
                    let position = Int64(exactly: delivery.position.milliseconds),
                    replay.originalTime.milliseconds != position
                {
                    seen.add("\(replay.originalTime) is not when it came")
                }
            }
            let once = Subscription(
                to: .notes, group: "a", on: target.broker, options: .brisk
            ) { On(Noted.self, for: .notOnReplay) { note("a", $0, $1) } }
            let split = Subscription(
                to: .notes, group: "b", on: target.broker, options: .brisk
            ) {
                On(Noted.self, for: .live) { note("b1", $0, $1) }
                OnBatch(Noted.self, upTo: 2, within: .milliseconds(10), for: [.redelivery, .rebuild]) {
                    for event in $0 { note("b2", event.payload, event.delivery) }
                }
            }
            let silent = Subscription(
                to: .notes, group: "c", for: .rebuild, on: target.broker, options: .brisk
            ) { On(Noted.self) { note("c", $0, $1) } }
            try await target.note(["1"])
            try await running(once) {
                try await running(split) {
                    try await running(silent) {
                        for group in ["a", "b", "c"] as [GroupName] {
                            try await target.settled(group)
                            let keys = target.broker.keys("notes", 0)
                            let entries = try await target.operations.client.send(
                                .xrange(keys.events, count: 1))
                            var pipeline = RedisPipeline()
                            for entry in entries {
                                pipeline.appendCopy(of: entry, to: keys.redelivery(group), replay: "r")
                            }
                            for reply in try await target.operations.client.send(pipeline) { try reply.get() }
                        }
                        try await target.eventually("what was replayed is settled") {
                            seen.count == 3 && once.counters[.ignored] == 1
                                && silent.counters[.ignored] == 2
                        }
                        for group in ["a", "b", "c"] as [GroupName] { try await target.settled(group) }
                    }
                }
            }
            try target.require(
                Set(seen.all) == ["a 1 live", "b1 1 live", "b2 1 r redeliver"], "\(seen.all)")
            let said: [(GroupName, DeliveryKinds)] = [("a", .live), ("b", .all), ("c", .rebuild)]
            for (group, kinds) in said {
                let handled = try await target.operations.handledTypes(of: group, topic: "notes")
                try target.require(handled == ["test.noted": kinds], "\(group): \(handled ?? [:])")
            }
            let unknown = try await target.operations.handledTypes(of: "d", topic: "notes")
            try target.require(unknown == nil, "nobody has said so")
        }
    ]
}
