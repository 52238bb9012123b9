internal import Hiredis

/// A slot's way from one primary to another, in steps, so that a test can look at what lies between.
extension LocalRedisCluster {
    /// A slot that cannot change hands yet.
    public struct MoveError: Error, CustomStringConvertible {
        /// The slot and what keeps it.
        public let description: String
    }

    /// Announces that a slot moves: the source sends who asks for keys it has no more on to the target (ASK).
    public func beginMove(ofSlot slot: Int, from source: Int, to target: Int) async throws {
        let (from, to) = (try await identifier(of: source), try await identifier(of: target))
        try await send(RedisCommand("CLUSTER", "SETSLOT", slot, "IMPORTING", from), to: target)
        try await send(RedisCommand("CLUSTER", "SETSLOT", slot, "MIGRATING", to), to: source)
    }

    /// Moves at most so many keys of the slot; returns how many were moved.
    @discardableResult
    public func moveKeys(ofSlot slot: Int, from source: Int, to target: Int, count: Int = 100) async throws
        -> Int
    {
        let keys = try await send(RedisCommand("CLUSTER", "GETKEYSINSLOT", slot, count), to: source).array
        let names = keys?.compactMap(\.string) ?? []
        guard !names.isEmpty else { return 0 }
        let head: [any RedisArgument] = ["MIGRATE", hosts[target], port, "", 0, 5000, "KEYS"]
        try await send(RedisCommand(arguments: head + names), to: source)
        return names.count
    }

    /// Gives the slot to the target for good, and tells every primary that runs.
    ///
    /// - Throws: `MoveError` when another primary still has keys of the slot: it would drop them.
    public func endMove(ofSlot slot: Int, to target: Int) async throws {
        let others = await currentPrimaries().filter { $0 != target }
        for node in others {
            let left = try await send(RedisCommand("CLUSTER", "COUNTKEYSINSLOT", slot), to: node).integer ?? 0
            if left > 0 {
                throw MoveError(description: "node \(node) still has \(left) keys of slot \(slot)")
            }
        }
        let id = try await identifier(of: target)
        // The target first: it would not be known as the owner by one that gave the slot away. Replicas refuse the
        // command, and learn it from their primaries.
        for node in [target] + others {
            try await send(RedisCommand("CLUSTER", "SETSLOT", slot, "NODE", id), to: node)
        }
    }

    /// All steps of a move at once.
    public func moveSlot(_ slot: Int, from source: Int, to target: Int) async throws {
        try await beginMove(ofSlot: slot, from: source, to: target)
        while try await moveKeys(ofSlot: slot, from: source, to: target) > 0 {}
        try await endMove(ofSlot: slot, to: target)
    }
}
