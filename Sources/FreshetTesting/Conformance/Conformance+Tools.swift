internal import Freshet
internal import Hiredis

extension Conformance {
    static let tools: [Conformance] = [
        Conformance("where a group stands is the truth, in each state") { target in
            let gate = Gate()
            let options = SubscriptionOptions.brisk.with {
                $0.concurrency = 1
                $0.retry.maximumAttempts = 2
                $0.retry.base = .seconds(3600)
                $0.retry.ceiling = .seconds(3600)
            }
            let subscription = target.subscription(to: .notes, "a", options) { note, _ in
                switch note.name {
                case "dead": throw Respond(.deadLetter, because: "no")
                case "invalid": throw Respond(.invalid, because: "no")
                case "delayed": throw Hiccup()
                case "slow": await gate.wait()
                default: break
                }
            }
            try await target.note(["dead", "invalid", "delayed", "done", "slow", "waits", "too"])
            try await running(subscription) {
                try await target.eventually("the slow one runs, the rest waits") {
                    let report = try await target.report()
                    return report.pending == 1 && report.delayed == 1 && report.dead == 1
                        && report.invalid == 1
                }
                let report = try await target.report()
                try target.require(report.waiting == 2 && report.lagKnown && report.length == 7, "\(report)")
                try target.require(
                    report.consumers.count == 1 && report.consumers[0].pending == 1, "\(report)")
                try target.require(report.oldestWaitingSeconds != nil, "an age")
                gate.open()
            }
        },
        Conformance("a retry is brought forward or cancelled by the operator") { target in
            let options = SubscriptionOptions.brisk.with {
                $0.retry.base = .seconds(3600)
                $0.retry.ceiling = .seconds(3600)
            }
            let seen = Record<String>()
            let subscription = target.subscription(to: .notes, "a", options) { note, delivery in
                seen.add("\(note.name):\(delivery.attempt)")
                if delivery.attempt == 1 { throw Respond(.retryAfter(.seconds(3600)), because: "busy") }
            }
            try await running(subscription) {
                try await target.note(["now", "never"])
                try await target.eventually("both wait") { try await target.report().delayed == 2 }
                var selection = RetrySelection()
                selection.eventIDs = ["now"]
                try target.require(
                    try await target.operations.changeRetries(.now, of: "a", topic: .notes, where: selection)
                        == 1, "one")
                selection.eventIDs = ["never"]
                try target.require(
                    try await target.operations.changeRetries(
                        .cancel, of: "a", topic: .notes, where: selection)
                        == 1, "one")
                try await target.eventually("the one") { seen.count == 3 }
                try await target.settled()
            }
            try target.require(Set(seen.all) == ["now:1", "never:1", "now:2"], "\(seen.all)")
            try target.require(try await target.deadLetters().map(\.eventID) == ["never"], "a dead letter")
        },
        Conformance("a dead letter that is retried has all attempts anew, and remembers that it was") {
            target in
            let (works, seen) = (Gate(), Record<Int>())
            let subscription = target.subscription(
                to: .notes, "a", .brisk.with { $0.retry.maximumAttempts = 2 }
            ) { _, delivery in
                seen.add(delivery.attempt)
                if !works.isOpen { throw Hiccup() }
            }
            try await running(subscription) {
                try await target.note(["1", "2"])
                for retries in 0..<2 {
                    try await target.eventually("dead") { try await target.deadLetters().count == 2 }
                    try target.require(
                        try await target.deadLetters()[0].retries == retries, "retried \(retries) times")
                    let changed =
                        retries == 0
                        ? try await target.operations.retryDeadLetters(.all, of: "a", topic: .notes)
                        : try await target.operations.discardDeadLetters(
                            .these([try await target.deadLetters()[0]]), of: "a", topic: .notes)
                    try target.require(changed == 2 - retries, "\(changed)")
                }
                works.open()
                _ = try await target.operations.retryDeadLetters(.all, of: "a", topic: .notes)
                try await target.settled()
            }
            try target.require(seen.all.filter { $0 == 1 }.count == 5, "\(seen.all)")
            try target.require(try await target.deadLetters().isEmpty, "none is left")
        },
    ]
}
