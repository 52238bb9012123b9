internal import ArgumentParser
internal import FoundationEssentials
internal import Freshet
internal import FreshetReplay
internal import FreshetService

/// Which events of a topic are meant.
struct SelectionOptions: ParsableArguments {
    @Option(help: "The first place: \(ReplayPoint.forms).", transform: ReplayPoint.parsing)
    var from: ReplayPoint?
    @Option(
        help: "The last place, in the same forms; it belongs to the range. Default end.",
        transform: ReplayPoint.parsing)
    var to: ReplayPoint = .end
    @Option(help: "Only the first so many of what is meant.") var first: Int?
    @Option(help: "Only the last so many of what is meant.") var last: Int?
    @Option(help: "Only events of this type; repeatable.") var type: [EventType] = []
    @Option(help: "Only events with this partition key; repeatable.") var key: [String] = []
    @Option(help: "Only this partition, from 0; repeatable.") var partition: [Int] = []
    @Option(
        name: .customLong("where"),
        help: "Only events for which this holds; repeatable: \(FieldMatch.forms).")
    var conditions: [String] = []
    @Option(help: "Only the events whose ids, or positions in the log, stand in this file, one a line.")
    var ids: String?

    func validate() throws {
        guard first == nil || last == nil else { throw ValidationError("--first or --last, not both") }
        guard (first ?? last ?? 1) > 0 else { throw ValidationError("--first and --last begin with 1") }
        guard partition.allSatisfy({ $0 >= 0 }) else { throw ValidationError("--partition begins with 0") }
        for condition in conditions where FieldMatch(condition) == nil {
            throw ValidationError("--where '\(condition)' is not \(FieldMatch.forms)")
        }
    }

    var isGiven: Bool {
        from != nil || to != .end || first != nil || last != nil || !type.isEmpty || !key.isEmpty
            || !partition.isEmpty || !conditions.isEmpty || ids != nil
    }

    /// Everything is never meant by leaving something out.
    func validateRange() throws {
        guard from != nil || first != nil || last != nil || !key.isEmpty || ids != nil else {
            throw ValidationError(
                "say from where: --from PLACE (start is everything), --first, --last, --key or --ids")
        }
    }

    func filter() throws -> ReplayFilter {
        var filter = ReplayFilter()
        filter.types = Set(type)
        filter.keys = Set(key)
        filter.partitions = Set(partition)
        filter.matches = conditions.compactMap { FieldMatch($0) }
        guard let ids else { return filter }
        guard let text = try? String(contentsOfFile: ids, encoding: .utf8) else {
            throw ToolError(.usage, "--ids: cannot read '\(ids)'")
        }
        let lines = text.split(whereSeparator: \.isNewline).map {
            String($0.filter { $0 != " " && $0 != "\t" })
        }
        filter.ids = Set(lines.filter { !$0.isEmpty })
        guard filter.ids?.isEmpty == false else { throw ToolError(.badData, "--ids: '\(ids)' holds no id") }
        return filter
    }
}

/// How fast it goes, and when it waits or ends by itself.
struct PaceOptions: ParsableArguments {
    @Option(help: "At most so many events a second: 500 or 500/s.") var rate: String?
    @Option(help: "At so many times the original pace: 10x; all partitions go on together.") var speed:
        String?
    @Option(help: "With --speed: the longest pause between two events, of the original time: 30s, 5m.")
    var maxGap: String?
    @Option(
        help:
            "Wait while so many of the replay's events have not been taken by the group, or none for never. Default 20000."
    )
    var maxWaiting: String?
    @Option(
        help:
            "Stop when this part of what the group has settled has failed: 10%, or none for never. Default 10%."
    )
    var maxErrors: String?
    @Option(help: "Refuse to plan more events than these.") var maxEvents: Int?

    func validate() throws {
        _ = try pace()
        _ = try limits()
    }

    func pace() throws -> ReplayPace {
        var pace = ReplayPace()
        pace.rate = try rate.map { text in
            let digits = text.hasSuffix("/s") ? String(text.dropLast(2)) : text
            return try Self.number(digits, above: 0, "--rate '\(text)' is not a number of events a second")
        }
        pace.speed = try speed.map { text in
            let digits = text.hasSuffix("x") ? String(text.dropLast()) : text
            return try Self.number(digits, above: 0, "--speed '\(text)' is not a factor such as 10x")
        }
        pace.longestGap = try maxGap.map { text in
            guard speed != nil else { throw ValidationError("--max-gap goes with --speed") }
            guard case .back(let milliseconds) = ReplayPoint(text) else {
                throw ValidationError("--max-gap '\(text)' is not a duration: 90s, 15m, 2h, 7d")
            }
            return Double(milliseconds) / 1000
        }
        return pace
    }

    func limits() throws -> ReplayLimits {
        var limits = ReplayLimits()
        if let maxWaiting {
            limits.waiting =
                maxWaiting == "none"
                ? nil
                : Int(
                    try Self.number(
                        maxWaiting, above: 0.999, "--max-waiting '\(maxWaiting)' is not a number of events"))
        }
        if let maxErrors {
            let digits = maxErrors.hasSuffix("%") ? String(maxErrors.dropLast()) : maxErrors
            limits.errorRate =
                maxErrors == "none"
                ? nil
                : try Self.number(digits, above: -1, "--max-errors '\(maxErrors)' is not a percentage") / 100
        }
        if let maxEvents {
            guard maxEvents > 0 else { throw ValidationError("--max-events begins with 1") }
            limits.events = maxEvents
        }
        return limits
    }

    private static func number(_ text: String, above least: Double, _ complaint: String) throws -> Double {
        guard let number = Double(text), number > least, number < 1e12 else {
            throw ValidationError(complaint)
        }
        return number
    }
}

/// A whole request: source, selection, target and pace.
struct RequestOptions: ParsableArguments {
    @Option(
        help: "redeliver: lost work is done again; rebuild: a running worker makes its service's tables anew."
    )
    var mode = ReplayMode.redeliver
    @Option(help: "The topic whose events they are.") var topic: TopicName?
    @Option(help: "The archive's folder, for what the log has no more: both are read as one history.")
    var archive: String?
    @Flag(
        help:
            "From the dead letters of the group, which they leave; --from and --to say when they became such."
    ) var dead = false
    @Option(
        help: "From this file of NDJSON, as --to-file writes it; the topic says whose partitions they are.")
    var fromFile: String?
    @Option(help: "To this group: it alone sees them, beside its live reading.") var group: GroupName?
    @Option(help: "To this topic: published anew with the same source and id.") var toTopic: TopicName?
    @Option(help: "To this file, as NDJSON.") var toFile: String?
    @OptionGroup(title: "Selection") var selection: SelectionOptions
    @OptionGroup(title: "Pace") var pace: PaceOptions

    @OptionGroup(title: "Rebuild") var rebuilding: RebuildModeOptions

    func validate() throws {
        if mode == .rebuild { return try validateRebuild() }
        guard !rebuilding.isGiven else {
            throw ValidationError("--publish-missing and --allow-gaps go with --mode rebuild")
        }
        guard topic != nil else { throw ValidationError("say whose events: --topic") }
        guard [group != nil, toTopic != nil, toFile != nil].count(where: { $0 }) == 1 else {
            throw ValidationError("say where to: --group, --to-topic or --to-file")
        }
        guard [dead, fromFile != nil, archive != nil].count(where: { $0 }) <= 1 else {
            throw ValidationError("--archive, --dead or --from-file, not two of them")
        }
        if !dead { try selection.validateRange() }
        guard !dead || group != nil else { throw ValidationError("--dead goes with --group") }
        guard toTopic != topic else {
            throw ValidationError("--to-topic is the topic itself: every group would see the events again")
        }
    }

    private func validateRebuild() throws {
        guard group != nil else { throw ValidationError("say whose tables: --group") }
        guard topic == nil, toTopic == nil, toFile == nil, fromFile == nil, !dead, !selection.isGiven else {
            throw ValidationError(
                "a rebuild is of all that the group reads: only --group and --archive go with it")
        }
    }

    /// Nil for another mode.
    func rebuild(isDryRun: Bool) -> (group: GroupName, options: RebuildOptions)? {
        guard mode == .rebuild, let group else { return nil }
        var options = RebuildOptions()
        options.isDryRun = isDryRun
        options.archive = archive.map(Self.absolute)
        options.publishesMissing = rebuilding.publishMissing && !isDryRun
        options.allowsGaps = rebuilding.allowGaps
        return (group, options)
    }

    func request() throws -> ReplayRequest {
        guard let topic else { throw ToolError(.usage, "say whose events: --topic") }
        // A plan may be started from another folder than the one where it was made.
        let (archive, fromFile, toFile) = (
            archive.map(Self.absolute), fromFile.map(Self.absolute), toFile.map(Self.absolute)
        )
        let target: ReplayTarget =
            if let group { .group(group) } else if let toTopic { .topic(toTopic) } else {
                .file(toFile ?? "")
            }
        var request = ReplayRequest(topic: topic, to: target)
        request.source = fromFile.map { .file($0) } ?? (dead ? .dead : .history(archive: archive))
        (request.from, request.to) = (selection.from ?? .start, selection.to)
        (request.first, request.last) = (selection.first, selection.last)
        request.filter = try selection.filter()
        request.pace = try pace.pace()
        request.limits = try pace.limits()
        return request
    }

    private static func absolute(_ path: String) -> String {
        path.hasPrefix("/") ? path : "\(FileManager.default.currentDirectoryPath)/\(path)"
    }
}
