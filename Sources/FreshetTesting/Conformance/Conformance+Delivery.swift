internal import Freshet
internal import Hiredis

extension Conformance {
    static let delivery: [Conformance] = [
        Conformance("each group sees each event once, in the order of the log") { target in
            let names = (0..<100).map(String.init)
            try await target.note(names, key: "one")
            let (a, b) = (Record<String>(), Record<String>())
            let first = target.subscription(to: .notes, "a") { note, _ in a.add(note.name) }
            let second = target.subscription(to: .notes, "b") { note, _ in b.add(note.name) }
            try await running(first, second) {
                try await target.eventually("all are handled") { a.count == 100 && b.count == 100 }
                try await target.note(["late"])
                try await target.eventually("the late one") { a.count == 101 && b.count == 101 }
            }
            try target.require(a.all == names + ["late"], "group a saw \(a.all)")
            try target.require(b.all == names + ["late"], "group b saw \(b.all)")
            try await target.settled()
        },
        Conformance("the consumers of a group share the events") { target in
            let (seen, gate) = (Record<String>(), Gate())
            let subscriptions = (0..<2).map { _ in
                target.subscription(to: .notes, "a", .brisk.with { $0.concurrency = 4 }) { note, _ in
                    seen.add(note.name)
                    await gate.wait()
                }
            }
            try await running(subscriptions[0], subscriptions[1]) {
                try await target.note((0..<40).map(String.init))
                try await target.eventually("both are busy") { seen.count == 8 }
                gate.open()
                try await target.eventually("all are handled") { seen.count >= 40 }
            }
            try target.require(
                seen.all.sorted() == (0..<40).map(String.init).sorted(), "once each: \(seen.all)")
            for subscription in subscriptions {
                try target.require(subscription.counters[.acknowledged] >= 4, "each has its part")
            }
        },
        Conformance("a group begins where it is told, and goes on from where it was") { target in
            try await target.note(["old"])
            try await target.elapse(.milliseconds(20))
            let seen = Record<String>()
            func subscription() -> Subscription {
                target.subscription(to: .notes, "a", from: .latest) { note, _ in seen.add(note.name) }
            }
            try await running(subscription()) {
                try await target.eventually("the group is there") {
                    try await target.operations.position(of: "a", topic: "notes", partition: 0)?.delivered
                        != nil
                }
                try await target.note(["new"])
                try await target.eventually("the new one") { seen.count == 1 }
            }
            try await target.note(["meanwhile"])
            try await running(subscription()) { try await target.eventually("the rest") { seen.count == 2 } }
            try target.require(seen.all == ["new", "meanwhile"], "\(seen.all)")
        },
        Conformance("what is no event is kept byte for byte, a type without a handler is passed over") {
            target in
            let key = target.broker.keys("notes", 0).events
            try await target.operations.client.send(
                RedisCommand("XADD", key, "*", "bytes", [0xff, 0] as [UInt8], "b", "2"))
            try await Publisher(to: .notes, on: target.broker).publish(
                Event(source: "conformance", type: "test.unknown", data: "{}"))
            try await Publisher(to: .notes, on: target.broker).publish(
                Event(source: "conformance", type: "test.noted", schemaVersion: 9, data: "{\"name\":\"x\"}"))
            try await target.note(["good"])
            let seen = Record<String>()
            let subscription = target.subscription { note, _ in seen.add(note.name) }
            try await running(subscription) {
                try await target.eventually("the good one") { seen.count == 1 }
                try await target.settled()
            }
            try target.require(subscription.counters[.ignored] == 1, "one is ignored")
            var invalid: [StreamEntry] = []
            for try await entry in target.operations.entries(of: target.broker.keys("notes", 0).invalid("a"))
            {
                invalid.append(entry)
            }
            try target.require(invalid.count == 2, "two are invalid, not \(invalid.count)")
            try target.require(invalid[0].field("bytes")?.array == [0xff, 0], "bytes as they were")
            try target.require(
                invalid[1].field("freshetreason")?.string.contains("newer") ?? false, "and why")
        },
        Conformance("what a dead consumer held is taken over after its lease, not before") { target in
            try await target.note((0..<30).map(String.init))
            let held = Record<String>()
            let doomed = target.subscription { note, _ in
                held.add(note.name)
                try await Task.sleep(for: .seconds(3600))
            }
            let dying = Task { try await doomed.run() }
            try await target.eventually("it holds some") { held.count == 8 }
            dying.cancel()
            _ = await dying.result
            // Its claims were renewed a third of a lease ago, at the earliest.
            let earliest = target.broker.clock.now + SubscriptionOptions.brisk.lease / 2
            let (seen, early) = (Record<String>(), Record<String>())
            let heir = target.subscription { note, _ in
                if held.all.contains(note.name), target.broker.clock.now < earliest { early.add(note.name) }
                seen.add(note.name)
            }
            try await running(heir) { try await target.eventually("all are handled") { seen.count >= 30 } }
            try target.require(Set(seen.all).count == 30 && seen.count == 30, "each once: \(seen.all)")
            try target.require(heir.counters[.reclaimed] == 8, "eight were taken over")
            try target.require(early.count == 0, "before their time: \(early.all)")
        },
        Conformance("the name of a dead consumer leaves the group once it holds nothing") { target in
            try await target.note((0..<10).map(String.init))
            let doomed = target.subscription { _, _ in try await Task.sleep(for: .seconds(3600)) }
            let dying = Task { try await doomed.run() }
            try await target.eventually("it holds some") { try await target.report().pending == 8 }
            dying.cancel()
            _ = await dying.result
            let options = SubscriptionOptions.brisk.with { $0.namesExpireAfter = .seconds(4) }
            let heir = target.subscription(to: .notes, "a", options) { _, _ in }
            try await running(heir) {
                try await target.eventually("all are handled") { heir.counters[.acknowledged] == 10 }
                try target.require(heir.counters[.reclaimed] == 8, "and none was dropped with the name")
                try await target.eventually("its name is gone") {
                    try await target.report().consumers.map(\.name) == [heir.consumer.rawValue]
                }
            }
        },
        Conformance("a handler may run longer than its lease and is not delivered twice") { target in
            let (seen, gate) = (Record<String>(), Gate())
            let subscriptions = (0..<2).map { _ in
                target.subscription { note, _ in
                    seen.add(note.name)
                    await gate.wait()
                }
            }
            try await running(subscriptions[0], subscriptions[1]) {
                try await target.note(["slow"])
                try await target.eventually("it runs") { seen.count == 1 }
                try await target.elapse(.seconds(5))
                gate.open()
                try await target.settled()
            }
            try target.require(seen.all == ["slow"], "\(seen.all)")
            try target.require(
                subscriptions.reduce(0) { $0 + $1.counters[.acknowledged] } == 1, "acknowledged once")
        },
        Conformance("an event that was delivered too often and never settled is a dead letter") { target in
            let options = SubscriptionOptions.brisk.with { $0.maximumDeliveries = 2 }
            let deliveries = Record<String>()
            try await target.note(["killer"])
            for _ in 0..<2 {
                let doomed = target.subscription(to: .notes, "a", options) { note, _ in
                    deliveries.add(note.name)
                    try await Task.sleep(for: .seconds(3600))
                }
                let before = deliveries.count
                let dying = Task { try await doomed.run() }
                try await target.eventually("it is delivered") { deliveries.count > before }
                dying.cancel()
                _ = await dying.result
            }
            let last = target.subscription(to: .notes, "a", options) { note, _ in deliveries.add(note.name) }
            try await running(last) {
                try await target.eventually("a dead letter") { try await target.deadLetters().count == 1 }
            }
            try target.require(deliveries.count == 2, "delivered \(deliveries.count) times")
            try target.require(try await target.deadLetters()[0].reason.contains("never settled"), "and why")
        },
        Conformance("what only stands beside an event that kills the process is handled") { target in
            let options = SubscriptionOptions.brisk.with { $0.maximumDeliveries = 5 }
            let (deaths, seen) = (Record<String>(), Record<String>())
            try await target.note((0..<8).map { $0 == 4 ? "killer" : "\($0)" })
            while try await target.deadLetters().isEmpty || seen.count < 7 {
                try target.require(deaths.count < 10, "it does not end: \(seen.all)")
                let dead = Gate()
                let subscription = target.subscription(to: .notes, "a", options) { note, _ in
                    if note.name == "killer" {
                        dead.open()
                    } else {
                        try await Task.sleep(for: .milliseconds(30))
                    }
                    // A process that is dead handles nothing.
                    if dead.isOpen { try await Task.sleep(for: .seconds(3600)) }
                    seen.add(note.name)
                }
                let running = Task { try await subscription.run() }
                try await target.eventually("it dies, or is done") {
                    if dead.isOpen { return true }
                    return try await target.deadLetters().count > 0 && seen.count == 7
                }
                if dead.isOpen { deaths.add("") }
                running.cancel()
                _ = await running.result
            }
            try target.require(
                try await target.deadLetters().map(\.eventID) == ["killer"], "the culprit alone")
            try target.require(deaths.count == 5, "after \(deaths.count) deaths")
            try target.require(Set(seen.all).count == 7, "\(seen.all)")
        },
        Conformance("a shutdown hands back what has not begun, at once and as no attempt") { target in
            let (gate, started, rest) = (Gate(), Record<String>(), Record<String>())
            try await target.note((0..<20).map(String.init))
            let slow = target.subscription(to: .notes, "a", .brisk.with { $0.concurrency = 2 }) { note, _ in
                started.add(note.name)
                await gate.wait()
            }
            try await running(slow) {
                try await target.eventually("two run") { started.count == 2 }
                gate.open()
            }
            let next = target.subscription { note, delivery in
                rest.add(note.name)
                if delivery.attempt != 1 { rest.add("attempt \(delivery.attempt)") }
            }
            try await running(next) {
                try await target.eventually("the rest") { started.count + rest.count >= 20 }
                try await target.settled()
            }
            try target.require(
                Set(started.all + rest.all) == Set((0..<20).map(String.init)), "\(started.all), \(rest.all)")
            try target.require(next.counters[.reclaimed] == 0, "nobody waited for a lease")
        },
        Conformance("an event that is deleted before it is handled counts as lost, and the rest goes on") {
            target in
            try await target.note((0..<3).map(String.init))
            let doomed = target.subscription { _, _ in try await Task.sleep(for: .seconds(3600)) }
            let dying = Task { try await doomed.run() }
            try await target.eventually("it holds all") { try await target.report().pending == 3 }
            dying.cancel()
            _ = await dying.result
            let log = target.broker.keys("notes", 0).events
            let first = try await target.operations.client.send(.xrange(log, count: 1))[0].id
            try await target.operations.client.send(.xdel(log, [first]))
            let seen = Record<String>()
            let heir = target.subscription { note, _ in seen.add(note.name) }
            try await running(heir) {
                try await target.eventually("the other two") { seen.count == 2 }
                try await target.settled()
            }
            try target.require(heir.counters[.lost] == 1, "one is lost, and counted")
        },
        Conformance("a group that vanished is made again from its start, never from the newest") { target in
            let seen = Record<String>()
            let subscription = target.subscription(to: .notes, "a", from: .latest) { note, _ in
                seen.add(note.name)
            }
            let log = target.broker.keys("notes", 0).events
            try await running(subscription) {
                try await target.eventually("it reads") {
                    try await target.operations.position(of: "a", topic: "notes", partition: 0)?.delivered
                        != nil
                }
                try await target.note(["1"])
                try await target.eventually("the first") { seen.all == ["1"] }
                try await target.operations.client.send(.xgroupDestroy(log, "a"))
                try await target.note(["2"])
                try await target.eventually("the second") { seen.all.contains("2") }
            }
        },
    ]
}
