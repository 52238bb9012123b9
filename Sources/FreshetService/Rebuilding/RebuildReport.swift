public import FreshetRecords

/// What came of a rebuild.
public struct RebuildReport: Sendable, Codable {
    /// What became of the events of the history.
    public struct Events: Sendable, Codable {
        /// How many entries were read.
        public var read = 0
        /// How many events had their effects.
        public var applied = 0
        /// How many events no handler is for.
        public var passedOver = 0
        /// How many events the service has not handled yet, and handles when their time comes.
        public var notHandled = 0
        /// How many entries are no events, or not readable.
        public var unreadable = 0
        /// Of those applied: how many were handled by workers while the rebuild ran.
        public var caughtUp = 0
        /// Of these: how many while nobody else wrote.
        public var atTheEnd = 0
    }

    /// Events that handlers would have published, and that are not in the history.
    public struct Missing: Sendable, Codable {
        /// One of them.
        public struct Example: Sendable, Codable {
            /// Where it would have gone.
            public let topic: String
            /// What happened.
            public let type: String
            /// What must stay in order.
            public let key: String?
            /// The event that it follows.
            public let causationID: String
        }
        /// How many there are.
        public var count = 0
        /// How many were put into the outbox.
        public var published = 0
        /// Of how many more nobody can say whether they were published: a queue they would have gone to keeps nothing that is handled,
        /// or the log has lost what is as old. They are not published.
        public var unknown = 0
        /// Some of those that are missing.
        public var examples: [Example] = []
    }

    /// Events that the service has handled, and that the history does not have.
    public struct Gaps: Sendable, Codable {
        /// How many the inbox has.
        public var handled = 0
        /// How many a log has lost, by topic: to retention, or deleted one by one.
        public var trimmed: [String: Int] = [:]
        /// Some of those that the inbox has.
        public var examples: [String] = []

        var isEmpty: Bool { handled == 0 && trimmed.isEmpty }
    }

    /// The service.
    public let service: String
    /// Names the rebuild.
    public let id: String
    /// Whether the new tables have taken the place of those in use.
    public internal(set) var isSwapped = false
    /// What became of the events.
    public internal(set) var events = Events()
    /// How the tables that were in use and the new ones differ.
    public internal(set) var tables: [TableComparison] = []
    /// What was not published.
    public internal(set) var missing = Missing()
    /// What the history lacks.
    public internal(set) var gaps = Gaps()
    /// How long it took.
    public internal(set) var seconds = 0.0
    /// For how long of that the database was at work on events.
    public internal(set) var sqlSeconds = 0.0
    /// The same as a share of the time in which events were applied.
    public internal(set) var sqlShare = 0.0
    /// Events applied in a second, on the way through the history.
    public internal(set) var eventsPerSecond = 0
    /// For how long nobody else could write.
    public internal(set) var lockSeconds = 0.0

    init(service: String, id: String) { (self.service, self.id) = (service, id) }

    /// Whether the new tables are as those in use.
    public var isEqual: Bool { tables.allSatisfy(\.isEqual) }
}

extension RebuildReport {
    /// For people.
    package var lines: [String] {
        var table = TextTable(
            columns: ["table", "live", "rebuilt", "equal", "differing", "only live", "only rebuilt"],
            hasNames: true, lineWidth: StandardOutput.terminalWidth)
        var lines = table.lines(
            tables.map { table in
                [table.table]
                    + [
                        table.live, table.rebuilt, table.equal, table.differing, table.onlyLive,
                        table.onlyRebuilt,
                    ]
                    .map(String.init)
            })
        for table in tables {
            for example in table.examples {
                let row = example.row.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
                lines.append(
                    OneLine.escaped("  \(table.table) \(example.side): \(row.joined(separator: " "))"))
            }
        }
        lines.append(
            "\(events.applied) events applied, \(events.passedOver) passed over, \(events.notHandled) not handled yet, "
                + "\(events.unreadable) unreadable; \(events.caughtUp) were handled meanwhile, \(events.atTheEnd) of them at the end"
        )
        let share = Int((sqlShare * 100).rounded())
        lines.append(
            "\(Self.rounded(seconds)) s, \(eventsPerSecond) events/s, \(share) % of the time in SQL; "
                + "nobody else could write for \(Self.rounded(lockSeconds)) s")
        lines.append(isSwapped ? "the new tables are in use" : "the tables in use are as they were")
        return lines
    }

    /// What is to be done about it; none when there is nothing.
    package var advice: [String] {
        var advice: [String] = []
        if missing.count > missing.published {
            advice.append(
                "\(missing.count) events that the service's handlers would have published are not in the history: "
                    + "run it again with --publish-missing to have them published")
        }
        if missing.unknown > 0 {
            advice.append(
                "of \(missing.unknown) events that the service's handlers would have published nobody can say whether they were: "
                    + "they went to a queue, or are older than what is left of their log; none of them is published"
            )
        }
        if events.unreadable > 0 {
            advice.append(
                "\(events.unreadable) entries are no events that a handler could read: they were left out")
        }
        if !gaps.isEmpty {
            advice.append("\(gaps.sentence): their effects are not in the new tables")
        }
        return advice
    }

    private static func rounded(_ seconds: Double) -> Double { (seconds * 100).rounded() / 100 }
}

extension RebuildReport.Gaps {
    var sentence: String {
        let logs = trimmed.sorted { $0.key < $1.key }.map { "'\($0.key)' has lost \($0.value) entries" }
        let some = examples.isEmpty ? "" : " (\(examples.joined(separator: ", ")))"
        let inbox = handled > 0 ? ["\(handled) handled events are not in it\(some)"] : []
        return "the history is not whole: " + (inbox + logs).joined(separator: ", ")
    }
}
