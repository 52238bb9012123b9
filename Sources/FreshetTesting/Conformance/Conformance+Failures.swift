internal import Freshet
internal import Hiredis

extension Conformance {
    private struct Refused: Error {}

    static let failures: [Conformance] = [
        Conformance("what fails comes again, and after the last attempt it is a dead letter") { target in
            let seen = Record<String>()
            let subscription = target.subscription { note, delivery in
                seen.add("\(note.name):\(delivery.attempt)")
                if note.name == "flaky", delivery.attempt == 1 { throw Hiccup() }
                if note.name == "bad" { throw Hiccup() }
            }
            try await running(subscription) {
                try await target.note(["good", "flaky", "bad"])
                try await target.eventually("the dead letter") { try await target.deadLetters().count == 1 }
                try await target.settled()
            }
            let expected: Set = ["good:1", "flaky:1", "flaky:2", "bad:1", "bad:2", "bad:3"]
            try target.require(Set(seen.all) == expected && seen.count == 6, "\(seen.all)")
            let letter = try await target.deadLetters()[0]
            try target.require(letter.eventID == "bad" && letter.attempts == 3, "\(letter)")
            try target.require(letter.reason == "Hiccup()" && letter.position != nil, "\(letter)")
        },
        Conformance("a retry comes after its pause, not before") { target in
            let (seen, gate) = (Record<String>(), Gate())
            let subscription = target.subscription { note, delivery in
                seen.add("\(delivery.attempt)")
                if !gate.isOpen { throw Respond(.retryAfter(.seconds(3)), because: "busy") }
            }
            try await running(subscription) {
                try await target.note(["1"])
                try await target.eventually("it is put off") { try await target.report().delayed == 1 }
                gate.open()
                try await target.elapse(.seconds(1))
                try target.require(seen.all == ["1"], "nothing before its time: \(seen.all)")
                try await target.eventually("again") { seen.count == 2 }
                try await target.settled()
            }
            try target.require(seen.all == ["1", "2"], "\(seen.all)")
        },
        Conformance("a handler's response and the rules for errors decide") { target in
            let options = SubscriptionOptions.brisk.with { $0.retry.on(Refused.self) { _ in .acknowledge } }
            let seen = Record<String>()
            let subscription = target.subscription(to: .notes, "a", options) { note, _ in
                seen.add(note.name)
                switch note.name {
                case "refused": throw Refused()
                case "dead": throw Respond(.deadLetter, because: "no such customer")
                case "invalid": throw Respond(.invalid, because: "no total")
                default: break
                }
            }
            try await running(subscription) {
                try await target.note(["refused", "dead", "invalid", "fine"])
                try await target.eventually("all were seen") { seen.count == 4 }
                try await target.settled()
            }
            let report = try await target.report()
            try target.require(report.dead == 1 && report.invalid == 1 && seen.count == 4, "\(report)")
            try target.require(try await target.deadLetters()[0].reason == "no such customer", "and why")
        },
        Conformance("immediate retries happen in place and count as attempts") { target in
            let seen = Record<Int>()
            let options = SubscriptionOptions.brisk.with {
                $0.retry.immediateRetries = 1
                $0.retry.maximumAttempts = 3
            }
            let subscription = target.subscription(to: .notes, "a", options) { _, delivery in
                seen.add(delivery.attempt)
                throw Hiccup()
            }
            try await running(subscription) {
                try await target.note(["1"])
                try await target.eventually("dead") { try await target.deadLetters().count == 1 }
            }
            try target.require(seen.all == [1, 2, 3], "\(seen.all)")
            try target.require(subscription.counters[.scheduled] == 1, "one pause")
        },
        Conformance("when all handlers fail the subscription pauses, and its probes use up no attempt") {
            target in
            let (works, seen, attempts) = (Gate(), Record<String>(), Record<Int>())
            let options = SubscriptionOptions.brisk.with {
                $0.concurrency = 2
                $0.breaker.failures = 4
                $0.breaker.pause = .milliseconds(200)
                $0.breaker.ceiling = .milliseconds(400)
                $0.retry.maximumAttempts = 2
                $0.retry.base = .seconds(3600)
                $0.retry.ceiling = .seconds(3600)
            }
            let subscription = target.subscription(to: .notes, "a", options) { note, delivery in
                attempts.add(delivery.attempt)
                guard works.isOpen else { throw Hiccup() }
                seen.add(note.name)
            }
            try await running(subscription) {
                try await target.note((0..<20).map(String.init))
                try await target.eventually("some probes") { attempts.count >= 8 }
                try target.require(attempts.count < 12, "it pauses: \(attempts.count)")
                works.open()
                try await target.eventually("the rest") { seen.count >= 20 - 5 }
            }
            try target.require(attempts.all.allSatisfy { $0 == 1 }, "\(attempts.all)")
            try target.require(try await target.deadLetters().isEmpty, "nothing died")
        },
        Conformance("of a batch that fails only what fails alone is retried") { target in
            let (sizes, once) = (Record<Int>(), Record<String>())
            let options = SubscriptionOptions.brisk.with { $0.retry.maximumAttempts = 2 }
            let subscription = Subscription(to: .notes, group: "a", on: target.broker, options: options) {
                OnBatch(Noted.self, upTo: 10, within: .milliseconds(50)) { notes in
                    sizes.add(notes.count)
                    if notes.contains(where: { $0.payload.name == "13" }) { throw Hiccup() }
                    for note in notes { once.add(note.payload.name) }
                }
            }
            try await target.note((0..<25).map(String.init))
            try await running(subscription) {
                try await target.eventually("the dead letter") { try await target.deadLetters().count == 1 }
                try await target.eventually("all others") { once.count == 24 }
            }
            try target.require(
                once.all.sorted() == (0..<25).filter { $0 != 13 }.map(String.init).sorted(), "\(once.all)")
            try target.require(sizes.all.filter { $0 == 10 }.count >= 1, "full batches: \(sizes.all)")
            try target.require(subscription.counters[.scheduled] == 1, "one alone")
        },
    ]
}
