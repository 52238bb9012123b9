internal import Freshet
internal import Hiredis

extension Conformance {
    static let order: [Conformance] = [
        Conformance("with .perKey a key's events run one at a time and in order, whatever fails") { target in
            let topic = Topic("ordered", partitions: 4)
            let history = KeyHistory()
            let subscriptions = (0..<2).map { _ in
                target.ordered(topic, history) { note, _ in
                    if abs(note.name.hashValue) % 4 == 0 { await Task.yield() }
                    if Int.random(in: 0..<10) == 0 { throw Hiccup() }
                }
            }
            try await running(subscriptions[0], subscriptions[1]) {
                try await target.eventually("each owns some") {
                    let owners = try await Set(target.owners(of: topic))
                    return owners.count == 2 && !owners.contains("")
                }
                try await target.publish(20, keys: 12, to: topic)
                try await target.eventually("all are handled") { history.count == 240 }
                try await target.settled("a", topic)
            }
            try target.require(history.overlaps == 0 && history.disorder == [], "\(history.disorder)")
            for subscription in subscriptions {
                try target.require(subscription.counters[.acknowledged] > 0, "partitions are shared out")
            }
        },
        Conformance("with .perKey a key that waits for its retry holds back only itself") { target in
            let topic = Topic("ordered")
            let (history, gate, tries) = (KeyHistory(), Gate(), Record<String>())
            let subscription = target.ordered(topic, history) { note, delivery in
                guard delivery.event.partitionKey == "k0", note.name == "3", !gate.isOpen else { return }
                tries.add(note.name)
                throw Respond(.retryAfter(.milliseconds(200)), because: "not yet")
            }
            try await running(subscription) {
                try await target.publish(10, keys: 3, to: topic)
                try await target.eventually("the others are handled") {
                    history.count == 23 && tries.count >= 2
                }
                try target.require(history.count == 23, "its later events wait")
                gate.open()
                try await target.eventually("all") { history.count == 30 }
            }
            try target.require(history.overlaps == 0 && history.disorder == [], "\(history.disorder)")
        },
        Conformance("with .perKey a stand-by takes over from a dead owner, in order") { target in
            let topic = Topic("ordered")
            let history = KeyHistory()
            let doomed = target.ordered(topic, history) { note, _ in
                if note.name == "5" { try await Task.sleep(for: .seconds(3600)) }
            }
            let dying = Task { try await doomed.run() }
            try await target.publish(10, keys: 4, to: topic)
            try await target.eventually("it is stuck") { history.count == 20 && history.running == 4 }
            let heir = target.ordered(topic, history) { _, _ in }
            try await running(heir) {
                try await target.elapse(.seconds(1))
                try target.require(heir.counters[.acknowledged] == 0, "it stands by")
                dying.cancel()
                _ = await dying.result
                history.forgetRunning()
                try await target.eventually("all are handled") { history.count == 40 }
                try await target.settled("a", topic)
            }
            try target.require(history.overlaps == 0 && history.disorder == [], "\(history.disorder)")
        },
        Conformance("with .perKey an owner that leaves hands its partition over in good order") { target in
            let topic = Topic("ordered")
            let history = KeyHistory()
            // Only a hand-over that waits for no lease is in time.
            let first = target.ordered(topic, history, lease: .seconds(600)) { _, _ in }
            try await running(first) {
                try await target.publish(5, keys: 4, to: topic)
                try await target.eventually("handled") { history.count == 20 }
            }
            try target.require(try await target.owners(of: topic) == [""], "nobody owns it")
            let second = target.ordered(topic, history, lease: .seconds(600)) { _, _ in }
            try await running(second) {
                try await target.publish(10, keys: 4, to: topic)
                try await target.eventually("the rest") { history.count == 40 }
            }
        },
        Conformance("with .perKey an owner that lost its partition settles nothing") { target in
            let topic = Topic("ordered")
            let (history, gate) = (KeyHistory(), Gate())
            let subscription = target.ordered(topic, history, lease: .seconds(600)) { _, _ in
                await gate.wait()
                throw Respond(.deadLetter, because: "a stale owner says so")
            }
            try await running(subscription) {
                try await target.publish(1, keys: 3, to: topic)
                try await target.eventually("three run") { history.running == 3 }
                try await target.operations.client.send(
                    RedisCommand(
                        "HSET", target.broker.keys(topic.name, 0).lease("a"), "owner", "other", "epoch",
                        "9999999999999"))
                gate.open()
                try await target.eventually("all three are refused") { subscription.counters[.fenced] == 3 }
            }
            let report = try await target.report("a", topic)
            try target.require(report.dead == 0 && report.pending == 3, "\(report)")
        },
        Conformance("a group has one ordering") { target in
            try await running(target.subscription { _, _ in }) {
                try await target.eventually("the group is there") {
                    try await target.operations.groups(of: .notes) == ["a"]
                }
            }
            try await target.refuses("another ordering") {
                try await target.subscription(to: .notes, "a", .brisk.with { $0.ordering = .perKey }) {
                    _, _ in
                }
                .run()
            }
        },
    ]
}

extension ConformanceTarget {
    /// A subscription with `.perKey` that keeps a history of its keys.
    func ordered(
        _ topic: Topic, _ history: KeyHistory, lease: Duration = .seconds(2),
        _ work: @escaping @Sendable (Noted, Delivery) async throws -> Void
    ) -> Subscription {
        let options = SubscriptionOptions.brisk.with {
            $0.ordering = .perKey
            $0.lease = lease
            $0.concurrency = 16
            $0.retry.maximumAttempts = 20
        }
        return subscription(to: topic, "a", options) { note, delivery in
            let (key, number) = (delivery.event.partitionKey ?? "", Int(note.name) ?? -1)
            history.begin(key, number)
            defer { history.end(key) }
            try await work(note, delivery)
            history.done(key, number)
        }
    }

    /// Notes numbered within their key, the keys in turn. What was published before is published again, and is no other event.
    func publish(_ count: Int, keys: Int, to topic: Topic) async throws {
        let events = try (0..<count * keys).map { number in
            let key = "k\(number % keys)"
            return try Event(
                Noted(name: "\(number / keys)"), source: "conformance", id: "\(key)-\(number / keys)",
                key: key)
        }
        for result in try await Publisher(to: topic, on: broker).publish(events) { _ = try result.get() }
    }

    /// Who owns each partition; "" where nobody does.
    func owners(of topic: Topic) async throws -> [String] {
        var owners: [String] = []
        for partition in 0..<topic.partitions {
            let key = broker.keys(topic.name, partition).lease("a")
            owners.append(try await operations.client.send(RedisCommand("HGET", key, "owner")).string ?? "")
        }
        return owners
    }

    /// What the body asks for must be refused, with an error that says so.
    func refuses(_ what: String, _ body: () async throws -> Void) async throws {
        do { try await body() } catch let error as FreshetError where error.code == .refused { return }
        throw ConformanceFailure(description: "\(what) is not refused")
    }
}
