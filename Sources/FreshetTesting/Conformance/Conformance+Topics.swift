internal import Freshet
internal import Hiredis

extension Conformance {
    static let topics: [Conformance] =
        [queue(.any), queue(.perKey)] + [
            Conformance("a declared group keeps what it has not seen, though it has not started") { target in
                let topic = Topic("kept", partitions: 2)
                let declaration = TopicDeclaration(
                    topic, groups: [GroupDeclaration("late", ordering: .perKey)],
                    retention: Retention(count: 0))
                let changes = try await target.operations.declare(declaration)
                try target.require(changes.map(\.what).contains("group late"), "\(changes)")
                try target.require(
                    try await target.operations.declare(declaration).isEmpty, "nothing changes twice")
                let known = try await target.operations.declaration(of: "kept")
                try target.require(known == declaration, "\(String(describing: known))")
                try await target.note((0..<1000).map(String.init), to: topic)
                let report = try await target.operations.enforceRetention(of: topic)
                try target.require(report.trimmed == 0 && report.heldBackBy == ["late"], "\(report)")
                let seen = Record<String>()
                let options = SubscriptionOptions.brisk.with { $0.ordering = .perKey }
                try await running(
                    target.subscription(to: topic, "late", options) { note, _ in seen.add(note.name) }
                ) {
                    try await target.eventually("all are handled") { seen.count == 1000 }
                    try await target.settled("late", topic)
                    // Its consumers trim, in whole nodes of a hundred or fewer.
                    try await target.eventually("what it has seen goes") {
                        try await target.report("late", topic).length <= 200
                    }
                }
                try target.require(seen.count == 1000, "each once")
            },
            Conformance("retention keeps the newest, by count, bytes and age") { target in
                let topic = Topic("kept")
                func left(_ retention: Retention) async throws -> Int {
                    try await target.operations.declare(TopicDeclaration(topic, retention: retention))
                    _ = try await target.operations.enforceRetention(of: topic)
                    return try await target.operations.client.send(
                        .xlen(target.broker.keys("kept", 0).events))
                }
                try await target.note((0..<3000).map(String.init), to: topic)
                // Up to a node more than asked for.
                let byCount = try await left(Retention(count: 1500))
                try target.require((1500...1600).contains(byCount), "\(byCount)")
                // An entry of these is 150 to 250 bytes.
                let byBytes = try await left(Retention(bytes: 100_000))
                try target.require((350...800).contains(byBytes), "\(byBytes)")
                // The new ones are published well within the age, also on a busy machine.
                try await target.elapse(.milliseconds(4500))
                try await target.note((0..<200).map { "new \($0)" }, to: topic)
                let byAge = try await left(Retention(age: .seconds(4)))
                try target.require((200...300).contains(byAge), "\(byAge)")
            },
            Conformance("retention never passes an entry that a group holds") { target in
                let topic = Topic("kept")
                let gate = Gate()
                try await target.operations.declare(TopicDeclaration(topic, retention: Retention(count: 10)))
                try await target.note((0..<500).map(String.init), to: topic)
                let options = SubscriptionOptions.brisk.with { $0.concurrency = 64 }
                let subscription = target.subscription(to: topic, "a", options) { note, _ in
                    if note.name == "300" { await gate.wait() }
                }
                try await running(subscription) {
                    try await target.eventually("one is held") {
                        try await target.report("a", topic).pending == 1
                    }
                    try await target.eventually("the others are handled") {
                        subscription.counters[.acknowledged] == 499
                    }
                    let report = try await target.operations.enforceRetention(of: topic)
                    try target.require(report.heldBackBy == ["a"], "\(report)")
                    let length = try await target.report("a", topic).length
                    try target.require((200...310).contains(length), "\(length)")
                    gate.open()
                    try await target.settled("a", topic)
                    let last = try await target.operations.enforceRetention(of: topic)
                    try target.require(last.heldBackBy == [], "\(last)")
                }
                try target.require(subscription.counters[.lost] == 0, "nothing is lost")
            },
            Conformance("retention never passes what a group has not been given") { target in
                let topic = Topic("kept")
                try await target.operations.declare(TopicDeclaration(topic, retention: Retention(count: 0)))
                try await target.note((0..<300).map(String.init), to: topic)
                try await running(target.subscription(to: topic, "a") { _, _ in }) {
                    try await target.settled("a", topic)
                }
                // No consumer runs, and nothing is pending.
                try await target.note((300..<800).map(String.init), to: topic)
                let report = try await target.operations.enforceRetention(of: topic)
                try target.require(report.heldBackBy == ["a"], "\(report)")
                let length = try await target.report("a", topic).length
                try target.require((500...600).contains(length), "\(length)")
            },
            Conformance("a forgotten group needs nothing any more") { target in
                let topic = Topic("kept")
                try await target.operations.declare(
                    TopicDeclaration(
                        topic, groups: [GroupDeclaration("gone")], retention: Retention(count: 0)))
                try await target.note((0..<300).map(String.init), to: topic)
                try await target.operations.forget("gone", of: topic)
                try target.require(try await target.operations.groups(of: topic).isEmpty, "no group is left")
                let report = try await target.operations.enforceRetention(of: topic)
                try target.require(report.trimmed >= 200 && report.heldBackBy.isEmpty, "\(report)")
            },
            Conformance("all programs agree on a topic's partitions") { target in
                try await running(target.subscription(to: Topic("notes", partitions: 2)) { _, _ in }) {
                    try await target.eventually("it is known") {
                        try await target.operations.topic(named: "notes")?.partitions == 2
                    }
                }
                try await target.refuses("another number of partitions") {
                    try await target.subscription(to: Topic("notes", partitions: 3)) { _, _ in }.run()
                }
            },
        ]

    private static func queue(_ ordering: Ordering) -> Conformance {
        Conformance("a queue deletes what is settled, and its length is what is left to do (.\(ordering))") {
            target in
            let queue = Topic("queue", kind: .queue)
            let (seen, gate) = (Record<String>(), Gate())
            let subscription = target.subscription(to: queue, "a", .brisk.with { $0.ordering = ordering }) {
                note, delivery in
                if note.name == "7" { throw Respond(.deadLetter, because: "no") }
                if note.name == "8", delivery.attempt == 1 { throw Hiccup() }
                if note.name == "19" { await gate.wait() }
                seen.add(note.name)
            }
            try await target.note((0..<20).map(String.init), to: queue)
            try await running(subscription) {
                try await target.eventually("all but one are handled") { seen.count == 18 }
                try await target.eventually("what is left") {
                    try await target.report("a", queue).length == 1
                }
                gate.open()
                try await target.eventually("nothing is left") {
                    try await target.report("a", queue).length == 0
                }
            }
            try target.require(try await target.deadLetters("a", queue).count == 1, "one dead letter")
            try target.require(subscription.counters[.lost] == 0, "nothing is lost")
            try await target.refuses("a second group of a queue") {
                try await target.subscription(to: queue, "b") { _, _ in }.run()
            }
            try await target.refuses("a queue that is taken for a log") {
                try await target.subscription(to: Topic("queue"), "a", .brisk.with { $0.ordering = ordering })
                { _, _ in }.run()
            }
        }
    }
}
