internal import Logging

/// What a client and its dedicated ones know about their cluster: the slot map, asked for by one of them at a time.
///
/// `@unchecked Sendable` because all of it belongs to the loop's thread.
final class ClusterTopology: @unchecked Sendable {
    private(set) var map = SlotMap()
    private let configuration: RedisConfiguration
    private let seeds: [RedisConfiguration.Address]
    private let loop: RedisEventLoop
    private let logger: Logger
    private var isRefreshing = false
    private var waiters: [CheckedContinuation<RedisError?, Never>] = []
    private var last: (at: ContinuousClock.Instant, error: RedisError?)?

    /// A map this fresh is not asked for again.
    static let fresh = Duration.milliseconds(25)
    /// How long one node may take.
    private static let patience = Duration.seconds(1)

    /// - Parameter configuration: of the client; one for a cluster.
    init(_ configuration: RedisConfiguration, loop: RedisEventLoop, logger: Logger) {
        guard case .cluster(let seeds) = configuration.servers else {
            preconditionFailure("not a configuration for a cluster")
        }
        self.configuration = configuration
        self.seeds = seeds
        self.loop = loop
        self.logger = logger
    }

    /// The slot was seen to have moved there: enough for the next command, until the whole map is asked for.
    func moved(_ slot: Int, to node: RedisConfiguration.Address) { map.assign(slot, to: node) }

    /// Asks for the map, or waits for whoever does so already.
    ///
    /// - Parameters:
    ///   - doubted: a node whose word is asked for last, because it does not have the cluster's majority.
    ///   - age: an answer this young will do.
    /// - Returns: why there is no newer map, or nil.
    func refresh(
        doubting doubted: RedisConfiguration.Address? = nil, unlessYoungerThan age: Duration = fresh
    ) async -> RedisError? {
        loop.checkIsolated()
        if let last, ContinuousClock.now - last.at < age { return last.error }
        if isRefreshing {
            return await withCheckedContinuation { waiter in
                // A task from elsewhere is queued again at each `await`: the answer may have come meanwhile.
                if isRefreshing { waiters.append(waiter) } else { waiter.resume(returning: last?.error) }
            }
        }
        isRefreshing = true
        let error = await ask(doubting: doubted)
        last = (ContinuousClock.now, error)
        isRefreshing = false
        let waiting = waiters
        waiters = []
        for waiter in waiting { waiter.resume(returning: error) }
        return error
    }

    /// Asks one node after the other, until one is in a cluster that works and knows at least as much as we do.
    private func ask(doubting doubted: RedisConfiguration.Address?) async -> RedisError? {
        var nodes = map.nodes.shuffled()
        nodes += seeds.shuffled().filter { !nodes.contains($0) }
        if let doubted, let position = nodes.firstIndex(of: doubted) {
            nodes.append(nodes.remove(at: position))
        }
        var failure: RedisError?
        for node in nodes {
            do throws(RedisError) {
                let (newer, isWorking) = try await question(node)
                let isKnown = !map.nodes.isEmpty
                if newer.epoch < map.epoch || (!isWorking && isKnown) {
                    failure = failure ?? RedisError.server("CLUSTERDOWN \(node) does not have the majority")
                    continue
                }
                if newer.nodes != map.nodes {
                    logger.info("the cluster's primaries", metadata: ["nodes": "\(newer.nodes)"])
                }
                map = newer
                return nil
            } catch {
                if error.remedy == .none { return error }
                failure = error
            }
        }
        return failure
    }

    private func question(_ node: RedisConfiguration.Address) async throws(RedisError) -> (SlotMap, Bool) {
        var single = configuration.single(node)
        single.connectTimeout = min(single.connectTimeout, Self.patience)
        let core = ConnectionCore(single, role: .node, loop: loop, logger: logger)
        defer { core.close() }
        var pipeline = RedisPipeline()
        pipeline.append("CLUSTER", "INFO")
        pipeline.append("CLUSTER", "SLOTS")
        let outcome = await exchange([(core, pipeline)], timeout: Self.patience, on: loop)[0]
        guard let replies = try outcome.get() else { throw RedisError(.unexpectedReply, "no reply") }
        var map = try SlotMap(replies[1].get(), asked: node)
        let lines = (replies[0].string ?? "").split(whereSeparator: \.isNewline)
        let epoch = lines.first { $0.hasPrefix("cluster_current_epoch:") }
        map.epoch = epoch.flatMap { Int($0.split(separator: ":")[1]) } ?? 0
        return (map, !lines.contains("cluster_state:fail"))
    }
}
