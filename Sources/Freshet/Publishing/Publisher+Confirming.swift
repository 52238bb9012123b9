internal import Hiredis

/// Waiting until events have survived more than the server's memory.
extension Durability {
    /// What is sent behind a write, on the same connection: WAIT counts who has what this connection has written. Nothing for
    /// the memory of the server.
    var confirmation: RedisPipeline {
        var pipeline = RedisPipeline()
        switch self {
        case .memory: break
        case .replicated(let replicas, let within):
            pipeline.append("WAIT", replicas, max(1, within.inMilliseconds))
        case .fsynced(let within): pipeline.append("WAITAOF", 1, 0, max(1, within.inMilliseconds))
        }
        return pipeline
    }

    /// How long the server may keep the confirmation back.
    var limit: Duration {
        switch self {
        case .memory: .zero
        case .replicated(_, let within), .fsynced(let within): within
        }
    }

    /// What is missing of it, as the replies to a write and its confirmation say; nil when nothing is.
    func shortfall(_ replies: RedisReplies) -> String? {
        guard self != .memory else { return nil }
        let reply = replies[replies.count - 1]
        if let error = reply.error { return "nobody has confirmed it: \(error.message)" }
        if case .replicated(let replicas, let within) = self {
            let count = reply.integer ?? 0
            return count >= replicas
                ? nil : "\(count) of \(replicas) replicas have confirmed it within \(within.spelled)"
        }
        let isSynced = reply.array?.first { _ in true }?.integer ?? 0 >= 1
        return isSynced ? nil : "it is not synced to disk within \(limit.spelled)"
    }
}

extension [Result<StreamID, FreshetError>] {
    /// What was added and has not survived what it should have is a failure.
    func lacking(_ shortfall: String?) -> Self {
        guard let shortfall else { return self }
        return map { outcome in
            guard case .success(let id) = outcome else { return outcome }
            return .failure(FreshetError(.notDurable, "the event stands at \(id), and \(shortfall)"))
        }
    }
}

extension Publisher {
    /// Confirms what another connection may have written: behind a write of this one's own.
    func confirm(_ durability: Durability, _ partition: Int, on client: RedisClient) async -> String? {
        guard durability != .memory else { return nil }
        var pipeline = RedisPipeline()
        pipeline.append("SET", broker.keys(topic.name, partition).confirmation, "", "PX", 1000)
        pipeline.append(durability.confirmation)
        do throws(RedisError) {
            return durability.shortfall(try await client.send(pipeline, block: durability.limit))
        } catch {
            return "nobody has confirmed it: \(error.message)"
        }
    }

    /// Before anything is added: a server that cannot promise it is refused.
    func requireFsync(_ durability: Durability, _ client: RedisClient) async throws(FreshetError) {
        guard case .fsynced = durability else { return }
        let capabilities: RedisCapabilities
        do {
            capabilities = try await client.capabilities(keyPrefix: broker.keys(topic.name, 0).events)
        } catch { throw FreshetError(error) }
        guard capabilities.has(.waitaof) else {
            throw FreshetError(
                .refused,
                "the server has no WAITAOF (Redis 7.2, Valkey): it cannot say when an event is on its disk")
        }
    }
}
