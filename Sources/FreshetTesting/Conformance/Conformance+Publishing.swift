internal import Freshet
internal import Hiredis

extension Conformance {
    static let publishing: [Conformance] = [
        Conformance("an event that is scheduled comes at its time, not before, and once") { target in
            let (seen, early) = (Record<String>(), Record<String>())
            let publisher = Publisher(to: .notes, on: target.broker)
            let due = target.broker.clock.now + .milliseconds(2995)
            let now = try await target.operations.serverTime().milliseconds
            let subscription = target.subscription { note, _ in
                if note.name == "later", target.broker.clock.now < due { early.add(note.name) }
                seen.add(note.name)
            }
            let later = try Event(Noted(name: "later"), source: "conformance", id: "later", key: "k")
            try await publisher.publish(later, deliverAt: Timestamp(milliseconds: now + 3000))
            try await publisher.publish(later, deliverAt: Timestamp(milliseconds: now + 3000))
            let soon = try Event(Noted(name: "soon"), source: "conformance", id: "soon", key: "k")
            try await publisher.publish(soon, deliverAt: Timestamp(milliseconds: now))
            try await running(subscription) {
                try await target.note(["now"])
                try await target.eventually("all") { seen.count >= 3 }
                try await target.elapse(.seconds(1))
            }
            try target.require(seen.all.sorted() == ["later", "now", "soon"], "each once: \(seen.all)")
            try target.require(early.count == 0, "before its time")
        },
        Conformance("with .perKey scheduled events of all partitions come") { target in
            let topic = Topic("ordered", partitions: 4)
            let history = KeyHistory()
            let publisher = Publisher(to: topic, on: target.broker)
            try await running(target.ordered(topic, history) { _, _ in }) {
                try await target.eventually("it owns all") {
                    try await !target.owners(of: topic).contains("")
                }
                let now = try await target.operations.serverTime().milliseconds
                let events = try (0..<12).map {
                    try Event(Noted(name: "0"), source: "conformance", id: "\($0)", key: "k\($0)")
                }
                try await publisher.publish(events, deliverAt: Timestamp(milliseconds: now + 500))
                try await target.eventually("all") { history.count == 12 }
            }
        },
        Conformance("a topic's limit refuses what is too much, and trims nothing") { target in
            let queue = Topic("limited", kind: .queue)
            try await target.operations.declare(TopicDeclaration(queue, limit: 3))
            let events = try (0..<5).map {
                try Event(Noted(name: "\($0)"), source: "conformance", id: "\($0)")
            }
            let publisher = Publisher(to: queue, on: target.broker)
            let outcomes = try await publisher.publish(events).map { outcome -> FreshetError.Code? in
                if case .failure(let error) = outcome { error.code } else { nil }
            }
            try target.require(outcomes == [nil, nil, nil, .full, .full], "\(outcomes)")
            let seen = Record<String>()
            try await running(target.subscription(to: queue, "a") { note, _ in seen.add(note.name) }) {
                try await target.eventually("three are handled") { seen.count == 3 }
                try await target.eventually("there is room") {
                    try await (publisher.publish([events[4]])[0]).isSuccess
                }
                try await target.eventually("four are handled") { seen.count == 4 }
            }
            try target.require(seen.all == ["0", "1", "2", "4"], "\(seen.all)")
        },
        Conformance("what may have arrived is added only when it is not there") { target in
            let publisher = Publisher(to: .notes, on: target.broker)
            let events = try (0..<300).map {
                try Event(Noted(name: "\($0)"), source: "conformance", id: "\($0)")
            }
            let first = try await publisher.publish(Array(events[..<5])).map { try $0.get() }
            // Some arrived, and nobody knows which: those that the publisher has seen arrive are far behind.
            let other = Publisher(to: .notes, on: target.broker)
            let there = try await other.publish(Array(events[5..<240])).map { try $0.get() }
            let again = try await publisher.addMissing(
                Array(events[5...]), events[5...].map { _ in 0 }, behind: [first[4]], upTo: nil, .memory,
                after: RedisError(.connectionLost, "", mayHaveRun: true), on: target.broker.client
            ).map { try $0.get() }
            try target.require(Array(again.prefix(there.count)) == there, "what is there keeps its place")
            try target.require(Set(first + again).count == 300, "each has a place of its own")
            try target.require(first + again == (first + again).sorted(), "in their order")
            let length = try await target.operations.client.send(.xlen(target.broker.keys("notes", 0).events))
            try target.require(length == 300, "\(length)")
        },
    ]
}

extension Result {
    fileprivate var isSuccess: Bool { if case .success = self { true } else { false } }
}
