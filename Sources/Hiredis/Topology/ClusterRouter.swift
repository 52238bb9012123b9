internal import Logging
internal import Synchronization

/// Sends each command of a client to the node that has its key, follows redirections, and puts the replies together.
///
/// An actor on the loop, with one connection for each node it has needed.
actor ClusterRouter {
    nonisolated let configuration: RedisConfiguration
    nonisolated let topology: ClusterTopology
    private nonisolated let loop: RedisEventLoop
    private nonisolated let logger: Logger
    private var cores: [RedisConfiguration.Address: ConnectionCore] = [:]
    private var isClosed = false

    nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe loop.serialExecutor.asUnownedSerialExecutor()
    }

    init(
        _ configuration: RedisConfiguration, topology: ClusterTopology, loop: RedisEventLoop, logger: Logger
    ) {
        self.configuration = configuration
        self.topology = topology
        self.loop = loop
        self.logger = logger
    }

    func close() {
        isClosed = true
        for core in cores.values { core.close() }
        cores = [:]
    }

    /// The connections there are now, by node.
    var connections: [(node: RedisConfiguration.Address, id: Int)] {
        cores.compactMap { node, core in core.identity.withLock { $0?.id }.map { (node, $0) } }
    }

    /// Sends one command to this very node.
    func send(_ command: RedisCommand<RedisReply>, to node: RedisConfiguration.Address, timeout: Duration)
        async
    {
        _ = await exchange([(core(for: node), command.pipeline)], timeout: timeout, on: loop)
    }

    // MARK: - Sending

    /// Sends all commands, each to its node, and waits for all replies, in order; nil for a pipeline without commands,
    /// which waits until the cluster is known.
    func send(_ pipeline: RedisPipeline, timeout: Duration, block: Duration = .zero)
        async throws(RedisError) -> RedisReplies?
    {
        let deadline = ContinuousClock.now + timeout
        var backoff = Backoff(base: .milliseconds(20), ceiling: .milliseconds(250))
        var journey = Journey(pipeline)
        var redirections = 0
        if topology.map.nodes.isEmpty, let error = await topology.refresh(), error.remedy == .none {
            throw error
        }
        while true {
            guard !isClosed else { throw journey.error(RedisError(.closed, "the client is closed")) }
            let parts = journey.parts(on: topology.map)
            let left = deadline - ContinuousClock.now
            guard left > .zero else { throw journey.error(journey.lastFailure ?? Self.unknown) }
            let targets = parts.map { (core: core(for: $0.node), pipeline: $0.pipeline) }
            let outcomes = await exchange(targets, timeout: left, block: block, on: loop)
            if Task.isCancelled, case .failure(let error)? = outcomes.first { throw journey.error(error) }
            let next = try journey.take(outcomes, of: parts, topology: topology)
            if pipeline.count == 0 {
                if !topology.map.nodes.isEmpty { return nil }
            } else if journey.isComplete {
                return journey.replies
            }
            if next == .redirect && redirections < 5 {
                redirections += 1
                continue
            }
            // What the server said last is the answer when there is no time for another attempt.
            let pause = Duration.nanoseconds(Int64(backoff.next()))
            if ContinuousClock.now + pause >= deadline, journey.hasAllReplies, pipeline.count > 0 {
                return journey.replies
            }
            try? await Task.sleep(for: min(pause, max(.zero, deadline - ContinuousClock.now)))
            if let error = await topology.refresh(doubting: journey.doubted) {
                if error.remedy == .none { throw journey.error(error) }
                journey.lastFailure = error
            } else {
                retireStrangers()
            }
        }
    }

    /// The connection to the node that has this key, as far as is known.
    func core(forKey key: String) async throws(RedisError) -> ConnectionCore {
        _ = try await send(RedisPipeline(), timeout: configuration.commandTimeout)
        guard let node = topology.map.owner(of: HashSlot.of(key)) else { throw Self.unknown }
        return core(for: node)
    }

    private func core(for node: RedisConfiguration.Address) -> ConnectionCore {
        if let core = cores[node] {
            core.isRetiring = false
            return core
        }
        let core = ConnectionCore(configuration.single(node), role: .node, loop: loop, logger: logger)
        core.onSilence = { [weak self] in
            Task { [weak self] in await self?.doubt(node) }
        }
        cores[node] = core
        return core
    }

    /// A node answers nothing: a frozen one, or one behind a cut, says nothing about what became of its slots. When the
    /// others say that it is no primary any more, what is under way there is given up and may have run.
    private func doubt(_ node: RedisConfiguration.Address) async {
        // One answer for all connections that doubt it: a node may serve a hundred partitions.
        let error = await topology.refresh(doubting: node, unlessYoungerThan: .milliseconds(250))
        guard error == nil, !topology.map.nodes.contains(node), let core = cores[node] else { return }
        cores[node] = nil
        core.abandon()
    }

    /// Nodes that are no primaries any more: nothing new goes to them, and they are left when all is answered.
    private func retireStrangers() {
        for (node, core) in cores where !topology.map.nodes.contains(node) {
            if core.queue.isEmpty && core.waiting.isEmpty {
                core.close()
                cores[node] = nil
            } else {
                core.retire()
            }
        }
    }

    private static let unknown = RedisError(.connectionFailed, "no node of the cluster answers")
}
