internal import Freshet
internal import Hiredis

extension Diagnosis {
    func groups(of declaration: TopicDeclaration) async throws -> [Finding] {
        let name = declaration.topic.name
        var findings: [Finding] = []
        let looked = try await looking("groups", at: name.rawValue, into: &findings) {
            (
                looks: try await broker.groupLooks(topic: name, countingUpTo: 1, lease: lease),
                settings: try await broker.fields(of: name), now: try await broker.serverTime().milliseconds
            )
        }
        guard let looked else { return findings }
        for look in looked.looks {
            findings += consumers(look)
            findings += vanished(look)
            findings += losses(
                look, isDeclared: { looked.settings["start:\(look.report.group):\($0)"] != nil })
            findings += retention(look, declaration)
            let place = "\(name)/\(look.report.group)"
            let left = try await looking("group", at: place, into: &findings) {
                try await retries(look, now: looked.now) + setAside(look, now: looked.now)
            }
            findings += left ?? []
        }
        return findings
    }

    private func finding(
        _ severity: Finding.Severity, _ check: String, _ look: GroupLook, _ problem: String, remedy: String
    ) -> Finding {
        Finding(severity, check, "\(look.report.topic)/\(look.report.group)", problem, remedy: remedy)
    }

    private func place(_ look: GroupLook) -> String {
        "--topic \(look.report.topic) --group \(look.report.group)"
    }

    // MARK: - Who reads

    private func consumers(_ look: GroupLook) -> [Finding] {
        var findings: [Finding] = []
        let report = look.report
        let living = look.consumers.count { $0.state != .dead }
        for consumer in look.consumers where consumer.state == .dead && consumer.pending > 0 {
            let since = consumer.oldestPendingSeconds.map { ", the oldest of \(Spelled.time($0)) ago" } ?? ""
            findings.append(
                finding(
                    .warning, "dead-consumer", look,
                    "the consumer '\(consumer.name)' was not heard of for \(Spelled.time(consumer.idleSeconds)) and holds "
                        + "\(Spelled.number(consumer.pending, "event"))\(since)",
                    remedy: living == 0
                        ? "start a worker of '\(report.group)': it takes them over within a lease"
                        : "its peers take them over within two leases; if not, look why: freshet pending \(place(look)) --consumer \(consumer.name)"
                ))
        }
        let waiting = report.waiting + report.pending
        if living == 0, waiting + report.delayed > 0 {
            let age = report.oldestWaitingSeconds.map { ", the oldest for \(Spelled.time($0))" } ?? ""
            findings.append(
                finding(
                    .warning, "no-consumers", look,
                    "no consumer is there, and events wait\(age)",
                    remedy:
                        "start a worker of '\(report.group)', or freshet topics forget \(report.topic) --group \(report.group)"
                ))
        }
        return findings
    }

    private func vanished(_ look: GroupLook) -> [Finding] {
        let gone = look.snapshots.indices.filter { !look.snapshots[$0].log.marks.groupExists }
        guard !gone.isEmpty else { return [] }
        let which =
            look.snapshots.count == 1
            ? "" : " on partition \(gone.map(String.init).joined(separator: ", "))"
        return [
            finding(
                .warning, "group-missing", look,
                "the group is declared and does not exist\(which): its next worker makes it from its declared start, and what was "
                    + "handled before comes again",
                remedy:
                    "start a worker of '\(look.report.group)', or freshet topics forget \(look.report.topic) --group \(look.report.group)"
            )
        ]
    }

    // MARK: - What was lost

    /// Freshet's own retention cuts nothing off that a group has not settled; others do.
    private func losses(_ look: GroupLook, isDeclared: (Int) -> Bool) -> [Finding] {
        var findings: [Finding] = []
        let remedy =
            "replay restore --from FOLDER --topic \(look.report.topic) --anew brings archived ones again; find who trims: redis-cli "
            + "SLOWLOG GET, or XADD with MAXLEN in a publisher"
        for (partition, snapshot) in look.snapshots.enumerated() {
            let marks = snapshot.log.marks
            let where_ = look.snapshots.count == 1 ? "" : " of partition \(partition)"
            if let oldest = snapshot.log.oldestPending, marks.first.map({ oldest < $0 }) ?? true {
                findings.append(
                    finding(
                        .critical, "pending-deleted", look,
                        "entries\(where_) were deleted while consumers held them, \(oldest) first: they are lost to the group",
                        remedy: remedy))
            }
            guard marks.groupExists, let added = marks.added, look.topic.kind == .log else { continue }
            let gone = added - snapshot.log.length
            let isBehind = marks.first.map { marks.delivered < $0 } ?? false
            if let read = marks.read, read < gone {
                findings.append(
                    finding(
                        .critical, "trimmed-unread", look,
                        "\(Spelled.number(gone - read, "entry", "entries"))\(where_) were cut off or deleted before the group was given them",
                        remedy: remedy))
            } else if marks.read == nil, isBehind, gone > 0, isDeclared(partition) || !marks.isLagKnown {
                findings.append(
                    finding(
                        .warning, "trimmed-unread", look,
                        "the group stands at \(marks.delivered), and the log\(where_) begins at \(marks.first?.description ?? "-"): what lay "
                            + "between is gone, up to \(Spelled.number(gone, "entry", "entries"))",
                        remedy: "nothing, when the group was to begin behind it; else: \(remedy)"))
            } else if !marks.isLagKnown, snapshot.log.length > 0 {
                findings.append(
                    finding(
                        .info, "lag-unknown", look,
                        "the server does not know the lag\(where_) (after a rewind, a deletion or a start in the middle): freshet counts, "
                            + "other monitors show 0",
                        remedy: "nothing: it knows again once the group has come to the end"))
            }
        }
        return findings
    }

    /// What retention would cut off and may not.
    private func retention(_ look: GroupLook, _ declaration: TopicDeclaration) -> [Finding] {
        for (partition, snapshot) in look.snapshots.enumerated() {
            let log = snapshot.log
            guard let first = log.marks.first else { continue }
            let isHolding =
                log.marks.delivered < first
                || log.oldestPending.map { $0 <= first } ?? (log.marks.delivered == first && log.length > 1)
            guard isHolding else { continue }
            var over: String?
            if let count = declaration.retention.count, log.length > count + max(200, count / 10) {
                over = "\(Spelled.count(log.length)) entries are kept instead of \(Spelled.count(count))"
            } else if let age = declaration.retention.age {
                let kept = snapshot.time - Double(first.milliseconds) / 1000
                let wanted = Double(age.inMilliseconds) / 1000
                if kept > wanted * 1.1 + 60 {
                    over = "entries of \(Spelled.time(kept)) are kept instead of \(Spelled.time(wanted))"
                }
            }
            guard let over else { continue }
            return [
                finding(
                    .warning, "retention-held", look,
                    "the group holds back what retention would cut off"
                        + (look.snapshots.count == 1 ? "" : " of partition \(partition)") + ": \(over)",
                    remedy:
                        "freshet groups \(place(look)) says what it lacks; a group that will not come back: freshet topics forget \(look.report.topic) --group \(look.report.group)"
                )
            ]
        }
        return []
    }

    // MARK: - What waits elsewhere

    private func retries(_ look: GroupLook, now: Int64) async throws -> [Finding] {
        var findings: [Finding] = []
        var latest: Int64 = 0
        for partition in look.snapshots.indices where look.snapshots[partition].delayed > 0 {
            let key = broker.keys(look.report.topic, partition).delayed(look.report.group)
            if let due = try await firstDue(key) { latest = max(latest, now - due) }
        }
        if latest > overdue {
            findings.append(
                finding(
                    .warning, "retries-overdue", look,
                    "a retry is \(Spelled.time(Double(latest) / 1000)) overdue: consumers bring them back, and none does",
                    remedy:
                        "start a worker of '\(look.report.group)' (freshet consumers \(place(look)), freshet retries list \(place(look)))"
                ))
        }
        let stuck = look.snapshots.compactMap { snapshot in
            snapshot.redelivery.waiting.first.map { snapshot.time - Double($0.milliseconds) / 1000 }
        }.max()
        if let stuck, stuck > max(60, Double(overdue) / 1000) {
            findings.append(
                finding(
                    .warning, "redelivery-stuck", look,
                    "an event that is to be seen again waits for \(Spelled.time(stuck)) and nobody takes it",
                    remedy: "freshet groups \(place(look)); freshet consumers \(place(look))"))
        }
        return findings
    }

    private func setAside(_ look: GroupLook, now: Int64) async throws -> [Finding] {
        var findings: [Finding] = []
        for (kind, word, count) in [
            (SetAside.dead, "dead", look.report.dead), (.invalid, "invalid", look.report.invalid),
        ] where count > 0 {
            var oldest = Double(0)
            for partition in look.snapshots.indices {
                let key = broker.keys(look.report.topic, partition).setAside(kind, look.report.group)
                let first = try await broker.send(.xrange(key, .zero ... .newest, count: 1)).first
                if let first {
                    oldest = max(oldest, Double(now) / 1000 - Double(first.id.milliseconds) / 1000)
                }
            }
            findings.append(
                finding(
                    oldest > 86_400 ? .warning : .info, "\(word)-letters", look,
                    "\(Spelled.number(count, word == "dead" ? "dead letter" : "unreadable event")) "
                        + "\(count == 1 ? "waits" : "wait") for someone, the oldest for \(Spelled.time(oldest))",
                    remedy: "freshet \(word) errors \(place(look)), then freshet \(word) retry or discard"))
        }
        return findings
    }
}
