internal import Freshet
internal import FreshetService
internal import Hiredis

/// A story as it is printed.
struct StoryReport: Encodable {
    /// An event of it.
    struct Row: Encodable {
        let id, source, type, time, addedAt: String
        let topic: TopicName
        let partition: Int
        let position: StreamID
        let key, causationId, correlationId: String?
        /// How many causes stand above it.
        let depth: Int
        let secondsAfterCause: Double?
        /// Its cause is named and not there.
        let lacksCause, isLongWait, isRepeated: Bool
        let groups: [EventState]
    }

    /// Something to look at.
    struct Note: Encodable {
        enum Kind: String, Encodable { case gap, wait, open, `repeat` }
        let kind: Kind
        let event: String
        let text: String
    }

    let what: String
    let namespace: String
    let events: [Row]
    let notes: [Note]

    init(_ story: Story, of what: String, namespace: Namespace) {
        self.what = what
        self.namespace = namespace.rawValue
        events = story.lines.map(Row.init)
        notes =
            story.missingFirst.map { id in
                Note(
                    kind: .gap, event: id,
                    text:
                        "the story's first event \(id) is not there: trimmed, older than was looked for, or elsewhere"
                )
            } + events.flatMap { Self.notes(on: $0, besides: story.missingFirst) }
    }

    func show(_ output: OutputOptions) throws {
        switch output.kind {
        case .json: StandardOutput.write(try OutputOptions.json(self, pretty: true))
        case .ndjson: for row in events { StandardOutput.write(try OutputOptions.json(row, pretty: false)) }
        case .table:
            try output.show(
                events,
                columns: [
                    ("added", { $0.addedAt }), ("after", { $0.secondsAfterCause.map(Self.spelled) ?? "-" }),
                    ("event", { Self.branch($0.depth) + $0.type }),
                    ("place", { "\($0.topic)/\($0.partition)" }),
                    ("id", { $0.id }), ("groups", { $0.groups.map(Self.short).joined(separator: ", ") }),
                ])
            for note in notes { StandardOutput.write(OneLine.escaped("\(note.kind.rawValue): \(note.text)")) }
        }
    }

    private static func branch(_ depth: Int) -> String {
        depth == 0 ? "" : String(repeating: "  ", count: depth - 1) + "└ "
    }

    /// `+120ms`, `+3.2s`, `+4m10s`.
    static func spelled(_ seconds: Double) -> String {
        let sign = seconds < 0 ? "-" : "+"
        let milliseconds = Int((abs(seconds) * 1000).rounded())
        if milliseconds < 1000 { return "\(sign)\(milliseconds)ms" }
        if milliseconds < 60_000 { return "\(sign)\(milliseconds / 1000).\(milliseconds % 1000 / 100)s" }
        let whole = milliseconds / 1000
        if whole < 3600 { return "\(sign)\(whole / 60)m\(whole % 60)s" }
        return "\(sign)\(whole / 3600)h\(whole % 3600 / 60)m"
    }

    private static func short(_ state: EventState) -> String {
        switch state.kind {
        case .settled where state.isUnhandled: "\(state.group) passed over"
        case .delayed: "\(state.group) delayed, \(state.failedAttempts ?? 0) failed"
        case .dead: "\(state.group) dead, \(state.failedAttempts ?? 0) failed"
        default: "\(state.group) \(state.kind.rawValue)"
        }
    }

    private static func notes(on row: Row, besides missing: [String]) -> [Note] {
        func note(_ kind: Note.Kind, _ text: String) -> Note { Note(kind: kind, event: row.id, text: text) }
        var notes: [Note] = []
        if row.isRepeated {
            notes.append(note(.repeat, "\(row.type) \(row.id) stands in \(row.topic) more than once"))
        }
        if row.lacksCause, let cause = row.causationId, !missing.contains(cause) {
            notes.append(note(.gap, "\(cause), the cause of \(row.type) \(row.id), is not there"))
        }
        if row.isLongWait, let seconds = row.secondsAfterCause {
            notes.append(
                note(.wait, "\(row.type) \(row.id) came \(spelled(seconds).dropFirst()) after its cause"))
        }
        return notes
            + row.groups.filter(\.isOpen).map { state in
                note(.open, "\(state.group) has not settled \(row.type) \(row.id): \(long(state))")
            }
    }

    private static func long(_ state: EventState) -> String {
        var parts: [String] = [state.kind.rawValue]
        if let consumer = state.consumer { parts[0] += " at \(consumer)" }
        if let seconds = state.heldSeconds { parts[0] += " for \(spelled(seconds).dropFirst())" }
        if let deliveries = state.deliveries {
            parts.append(deliveries == 1 ? "delivered once" : "delivered \(deliveries) times")
        }
        if let failed = state.failedAttempts {
            parts.append(failed == 1 ? "1 attempt failed" : "\(failed) attempts failed")
        }
        if let due = state.dueAt { parts.append("comes again at \(due)") }
        if let time = state.failedAt, !time.isEmpty { parts.append("given up at \(time)") }
        if let retries = state.retries {
            parts.append("brought back \(retries == 1 ? "once" : "\(retries) times")")
        }
        if let replay = state.replay { parts.append("by the replay \(replay)") }
        return parts.joined(separator: ", ") + (state.reason.flatMap { $0.isEmpty ? nil : ": \($0)" } ?? "")
    }
}

extension StoryReport.Row {
    init(_ line: Story.Line) {
        let (event, place) = (line.found.event, line.found.place)
        (id, source, type, time) = (event.id, event.source, event.type.rawValue, event.time.description)
        addedAt = Timestamp(milliseconds: Int64(clamping: place.position.milliseconds)).description
        (topic, partition, position) = (line.found.topic.name, place.partition, place.position)
        (key, causationId, correlationId) = (event.partitionKey, event.causationID, event.correlationID)
        (depth, secondsAfterCause, groups) = (line.depth, line.secondsAfterCause, line.states)
        (lacksCause, isLongWait, isRepeated) = (line.lacksCause, line.isLongWait, line.isRepeated)
    }
}
