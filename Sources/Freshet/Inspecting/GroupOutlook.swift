internal import Hiredis

/// What the figures of a group mean: whether it keeps up, when it will have drained, or how many replicas it lacks.
public struct GroupOutlook: Sendable, Codable {
    /// The same in a word, for programs.
    public enum State: String, Sendable, Codable, CaseIterable {
        /// Nothing waits and nothing comes.
        case idle
        /// What comes is settled at once, or about as fast as it comes.
        case keepsUp = "keeps-up"
        /// More is settled than comes.
        case draining
        /// More comes than is settled.
        case fallingBehind = "falling-behind"
        /// Events wait, consumers are there, and nothing was settled.
        case stalled
        /// Nobody reads.
        case noConsumers = "no-consumers"
        /// Events wait, and no rate was measured.
        case unmeasured
    }

    /// In a word.
    public let state: State
    /// In a sentence or two, for people.
    public let sentence: String
    /// How many replicas would have to be added so that the group keeps up; nil when it lacks none, or more would not help.
    public let replicasMissing: Int?
    /// In how many seconds nothing waits any more, at the present rates; nil when that is not in sight.
    public let secondsUntilEmpty: Double?

    init(
        _ state: State, _ sentence: String, replicasMissing: Int? = nil, secondsUntilEmpty: Double? = nil
    ) {
        self.state = state
        self.sentence = sentence
        self.replicasMissing = replicasMissing
        self.secondsUntilEmpty = secondsUntilEmpty
    }
}

extension GroupOutlook {
    /// What an outlook follows from.
    public struct Figures: Sendable {
        /// Entries that nobody has taken yet.
        public var waiting = 0
        /// Whether these are all.
        public var isWaitingWhole = true
        /// Entries that consumers hold.
        public var pending = 0
        /// Retries that wait for their time.
        public var delayed = 0
        /// Seconds since the oldest of what waits or is held came.
        public var oldest: Double?
        /// How many consumers live.
        public var consumers = 0
        /// How many of them own a partition, with an order.
        public var owners = 0
        /// In which order the group handles events.
        public var ordering = Ordering.any
        /// How many entries wait or are held in each partition.
        public var backlogs: [Int] = [0]
        /// How fast they come and go; nil when that was not measured.
        public var pace: GroupPace?

        /// Of a group of which nothing is known.
        public init() {}

        var backlog: Int { waiting + pending }
    }

    /// What a look means, with the pace since the look before.
    public init(_ look: GroupLook, pace: GroupPace?) {
        var figures = Figures()
        let report = look.report
        (figures.waiting, figures.isWaitingWhole) = (report.waiting, report.lagKnown)
        if !report.lagKnown, let lag = look.serverLag, lag >= report.waiting {
            // Not counted to the end, and good enough for a forecast.
            (figures.waiting, figures.isWaitingWhole) = (lag, true)
        }
        (figures.pending, figures.delayed) = (report.pending, report.delayed)
        figures.oldest = report.oldestWaitingSeconds
        figures.consumers = look.consumers.count { $0.state != .dead }
        figures.owners = Set(look.owners.compactMap { $0 }).count
        figures.ordering = look.ordering ?? .any
        figures.backlogs = zip(report.partitions, look.snapshots).map { partition, snapshot in
            max(partition.waiting, partition.lagKnown ? 0 : snapshot.log.marks.lag ?? 0) + partition.pending
        }
        figures.pace = pace
        self.init(figures)
    }

    /// What these figures mean.
    public init(_ figures: Figures) {
        let words = Words(figures)
        guard figures.consumers > 0 else {
            self.init(.noConsumers, words.withoutConsumers)
            return
        }
        guard let pace = figures.pace else {
            self = figures.backlog == 0 ? words.idle : words.unmeasured
            return
        }
        let growth = (pace.inPerSecond - pace.outPerSecond) * pace.seconds
        // A few more or less are on their way at any moment.
        let noise = max(2, max(pace.inPerSecond, pace.outPerSecond) * pace.seconds * 0.05)
        let secondsOfWork = pace.outPerSecond > 0 ? Double(figures.waiting) / pace.outPerSecond : .infinity
        if figures.backlog == 0, pace.inPerSecond == 0 {
            self = words.idle
        } else if pace.outPerSecond == 0, figures.waiting > 0 {
            self = words.stalled(pace)
        } else if growth > noise, figures.waiting > 0 {
            self = words.fallingBehind(pace)
        } else if figures.waiting == 0 || (figures.isWaitingWhole && secondsOfWork <= 1) {
            self = words.keepingUp(pace)
        } else if growth < -noise {
            self = words.draining(pace)
        } else {
            self = words.level(pace, secondsOfWork)
        }
    }
}

/// The sentences.
private struct Words {
    let figures: GroupOutlook.Figures

    init(_ figures: GroupOutlook.Figures) { self.figures = figures }

    private var waiting: String { Spelled.count(figures.waiting) + (figures.isWaitingWhole ? "" : "+") }
    private var since: String { figures.oldest.map { ", the oldest for \(Spelled.time($0))" } ?? "" }

    private var retries: String {
        figures.delayed == 0
            ? ""
            : figures.delayed == 1
                ? "one retry waits for its time"
                : "\(Spelled.count(figures.delayed)) retries wait for their time"
    }

    private func waits(_ count: Int, _ text: String) -> String { "\(text) \(count == 1 ? "waits" : "wait")" }

    var withoutConsumers: String {
        var left: [String] = []
        if figures.waiting > 0 { left.append(waits(figures.waiting, waiting)) }
        if figures.pending > 0 {
            left.append(
                "\(Spelled.count(figures.pending)) \(figures.pending == 1 ? "was" : "were") left by dead ones"
            )
        }
        if figures.delayed > 0 { left.append(retries) }
        let coming =
            figures.pace.map { $0.inPerSecond > 0 ? "; \(Spelled.rate($0.inPerSecond)) come in" : "" } ?? ""
        guard !left.isEmpty else { return "No consumer is there, and nothing waits\(coming)." }
        return "No consumer is there: \(left.joined(separator: ", "))\(since)\(coming)."
    }

    var idle: GroupOutlook {
        GroupOutlook(
            .idle,
            figures.delayed == 0 ? "Idle: nothing waits." : "Idle: nothing waits but retries; \(retries).",
            secondsUntilEmpty: 0)
    }

    var unmeasured: GroupOutlook {
        let held = figures.pending > 0 ? ", \(Spelled.count(figures.pending)) with consumers" : ""
        return GroupOutlook(
            .unmeasured,
            "\(waits(figures.waiting, waiting))\(held)\(since); how fast they go was not measured.")
    }

    func stalled(_ pace: GroupPace) -> GroupOutlook {
        let held =
            figures.pending == 0
            ? "none is with a consumer"
            : "\(Spelled.count(figures.pending)) are with \(Spelled.number(figures.consumers, "consumer"))"
        return GroupOutlook(
            .stalled,
            "Stalled: nothing was settled within \(Spelled.time(pace.seconds)); \(waits(figures.waiting, waiting)), \(held)\(since)."
        )
    }

    func keepingUp(_ pace: GroupPace) -> GroupOutlook {
        guard pace.outPerSecond > 0 || figures.pending == 0 else {
            return GroupOutlook(
                .keepsUp,
                "Keeps up: nothing waits, \(Spelled.count(figures.pending)) \(figures.pending == 1 ? "is" : "are") being handled\(since)."
            )
        }
        let more = figures.delayed == 0 ? "" : "; \(retries)"
        return GroupOutlook(
            .keepsUp, "Keeps up: \(Spelled.rate(pace.inPerSecond)) come in\(more).",
            secondsUntilEmpty: pace.outPerSecond > 0 ? Double(figures.backlog) / pace.outPerSecond : nil)
    }

    func draining(_ pace: GroupPace) -> GroupOutlook {
        let net = pace.outPerSecond - pace.inPerSecond
        let seconds = Double(figures.backlog) / net
        let atLeast = figures.isWaitingWhole ? "" : "not before "
        let come =
            pace.inPerSecond > 0
            ? " (\(Spelled.rate(pace.outPerSecond)) done, \(Spelled.rate(pace.inPerSecond)) come in)" : ""
        return GroupOutlook(
            .draining,
            "Draining: empty \(figures.isWaitingWhole ? "in " : atLeast)\(Spelled.time(seconds)) at \(Spelled.rate(net))\(come).\(skew.map { " \($0)" } ?? "")",
            secondsUntilEmpty: figures.isWaitingWhole ? seconds : nil)
    }

    func level(_ pace: GroupPace, _ secondsOfWork: Double) -> GroupOutlook {
        let hint = help(pace, toward: pace.inPerSecond * 1.1)
        let work = figures.isWaitingWhole ? " (\(Spelled.time(secondsOfWork)) of work)" : ""
        return GroupOutlook(
            .keepsUp,
            "Keeps up, at a distance: \(waits(figures.waiting, waiting))\(work), as many come in as are settled (\(Spelled.rate(pace.inPerSecond))). \(hint.sentence(forDraining: true))",
            replicasMissing: nil)
    }

    func fallingBehind(_ pace: GroupPace) -> GroupOutlook {
        let hint = help(pace, toward: pace.inPerSecond)
        return GroupOutlook(
            .fallingBehind,
            "Falls behind by \(Spelled.rate(pace.inPerSecond - pace.outPerSecond)): \(hint.sentence(forDraining: false))",
            replicasMissing: hint.missing)
    }

    // MARK: - What would help

    private struct Help {
        var missing: Int?
        var one = 0.0
        var all = 0.0
        var obstacle: String?

        func sentence(forDraining: Bool) -> String {
            if let obstacle { return obstacle }
            let number = missing ?? 1
            let would = "\(Spelled.count(number)) more replica\(number == 1 ? "" : "s") would "
            return would
                + (forDraining
                    ? "drain it."
                    : "do (one does \(Spelled.rate(one)), \(Spelled.rate(all)) come in).")
        }
    }

    private func help(_ pace: GroupPace, toward wanted: Double) -> Help {
        var help = Help()
        let isOrdered = figures.ordering == .perKey
        let busy = max(1, isOrdered ? figures.owners : figures.consumers)
        help.one = pace.outPerSecond / Double(busy)
        help.all = pace.inPerSecond
        let needed = help.one > 0 ? Int(min(1e6, (wanted / help.one).rounded(.up))) : busy + 1
        let partitions = figures.backlogs.count
        if let skew {
            help.obstacle = skew
        } else if isOrdered, busy >= partitions {
            help.obstacle =
                "More replicas would not help: .perKey with \(Spelled.number(partitions, "partition")) feeds at most \(Spelled.number(partitions, "owner")) "
                + "(one does \(Spelled.rate(help.one)), \(Spelled.rate(help.all)) come in)."
        } else if isOrdered, needed > partitions {
            help.obstacle =
                "\(Spelled.number(partitions - busy, "more replica")) would help, and not be enough: .perKey with "
                + "\(Spelled.number(partitions, "partition")) feeds at most \(Spelled.number(partitions, "owner"))."
        } else {
            help.missing = max(1, needed - busy)
        }
        return help
    }

    /// With an order one partition is one owner's, so what lies in one of them no other can take.
    private var skew: String? {
        let all = figures.backlogs.reduce(0, +)
        guard figures.ordering == .perKey, figures.backlogs.count > 1, all >= 100,
            let most = figures.backlogs.max(), let partition = figures.backlogs.firstIndex(of: most),
            Double(most) >= 0.8 * Double(all)
        else { return nil }
        let share = Int(Double(most) / Double(all) * 100)
        return
            "More replicas would not help: partition \(partition) of \(figures.backlogs.count) holds \(share) % of the backlog."
    }
}
