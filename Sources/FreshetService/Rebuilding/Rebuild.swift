internal import Freshet
internal import FreshetRecords
public import ServiceLifecycle

/// How a service's tables are made anew.
public struct RebuildOptions: Sendable, Hashable, Codable {
    /// The folder of an archive with what the logs have no more; nil for the logs alone.
    public var archive: String?
    /// Whether the result is compared and thrown away.
    public var isDryRun = false
    /// Whether events that handlers would have published, and that are not in the history, are published with the swap.
    public var publishesMissing = false
    /// Whether the new tables may take the place of those in use though the history lacks events that the service has handled.
    public var allowsGaps = false

    /// All of it, and nothing published.
    public init() {}
}

/// Makes a service's tables anew from the whole history of what it reads, beside those in use, and puts them in their place in one
/// transaction. Until then those in use serve, and workers go on with them; afterwards with the new ones.
///
/// **What is applied** is what the service has handled, no more and no less: events that its inbox has, and those of which the server
/// says that the group has settled them (its inbox may have been lost, or cut). So nothing counts as done of which nobody was told, and
/// nothing that was done is missing. A dead letter counts as settled once it was discarded: nothing tells it from an event that was
/// handled, so its effects are in the new tables. Of events that have handlers for a rebuild only, all are applied. What workers
/// handle meanwhile is caught up with; the last of it while nobody else writes, for a moment.
///
/// **Handlers** run one after the other in the order in which the server was given the events, with `delivery.replay.mode`
/// `.rebuild`: those whose effects are all in records (`On(_:in:)`), and those that ask for it (`for: .all`).
/// A service with a handler that has not said is refused: it might call the outside world for all history.
/// They may run more than once for an event, and their effects count when they are in `records.handle`. What
/// they would publish is looked for in the history, and what is not there is reported, or published if that
/// was asked for; except what may have been published and be gone since, from a queue or from a log that was
/// cut off: that is only counted.
public enum Rebuild {
    /// Rebuilds the tables of this worker's service. When it is cancelled or throws, the tables in use are as they were.
    ///
    /// Throws `tryAgain` while another rebuild of the same database is under way, and `failed` for a history that lacks what the service has
    /// handled.
    ///
    /// - Parameters:
    ///   - worker: its records are those in use.
    ///   - services: the subscriptions, made with the worker that it is given: that one's records are the new ones.
    ///   - onProgress: called now and then with how many entries were read, of how many.
    public static func run(
        _ worker: Worker, options: RebuildOptions = RebuildOptions(),
        services: @Sendable (Worker) async throws -> [any Service],
        onProgress: @escaping @Sendable (Int, Int) -> Void = { _, _ in }
    ) async throws -> RebuildReport {
        let shadow: Shadow
        do { shadow = try await Shadow.make(beside: worker.records, for: worker.settings.group) } catch {
            throw ToolError(error)
        }
        let result: Result<RebuildReport, any Error>
        do {
            result = .success(try await run(worker, options, shadow, services, onProgress))
        } catch { result = .failure(error) }
        // Also when this task was cancelled.
        await Task { await shadow.remove() }.value
        return try result.get()
    }

    private static func run(
        _ worker: Worker, _ options: RebuildOptions, _ shadow: Shadow,
        _ services: @Sendable (Worker) async throws -> [any Service],
        _ onProgress: @escaping @Sendable (Int, Int) -> Void
    ) async throws -> RebuildReport {
        let line = RebuildLine(
            shadow.records, source: worker.records.source, keepsEvents: options.publishesMissing)
        let records = ServiceRecords(rebuilding: worker.records, by: line, on: worker.broker)
        let own = Worker(
            settings: worker.settings, broker: worker.broker, records: records, logger: worker.logger)
        let subscriptions = try await services(own).compactMap { $0 as? Subscription }
            .filter { $0.group == worker.settings.group }
        try refuseUnsaid(subscriptions)
        let run = try RebuildRun(worker, options, shadow, line, subscriptions, onProgress)
        return try await run.run()
    }

    /// Throws `badConfiguration` with the names of handlers that have not said whether they are for a
    /// rebuild.
    private static func refuseUnsaid(_ subscriptions: [Subscription]) throws(ToolError) {
        let names = subscriptions.flatMap { one in one.unsaid.map { "'\($0)' on '\(one.topic.name)'" } }
        guard !names.isEmpty else { return }
        throw ToolError(
            .badConfiguration,
            "these handlers have not said whether a rebuild may run them: \(names.joined(separator: ", ")). One whose effects are all in "
                + "records is On(..., in: records); one that does anything else says for: [.live, .redelivery], or for: .all to run all the same"
        )
    }
}
