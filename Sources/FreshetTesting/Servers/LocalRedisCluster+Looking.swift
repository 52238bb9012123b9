internal import Hiredis

/// Who is what at the moment, from what each node that answers says about itself: nobody's possibly stale view of
/// another counts. A node that is cut off still takes itself for what it was.
extension LocalRedisCluster {
    /// The nodes that say they are primaries with slots, in order; two of them may claim the same slots while one is
    /// cut off.
    public func currentPrimaries() async -> [Int] {
        await members().filter { $0.value.primary == nil && !$0.value.slots.isEmpty }.keys.sorted()
    }

    /// The primary that has this slot: of several that claim it, the one elected last; nil when nobody does.
    public func primary(ofSlot slot: Int) async -> Int? {
        await members()
            .filter { $0.value.primary == nil && $0.value.slots.contains { $0.contains(slot) } }
            .max { $0.value.epoch < $1.value.epoch }?.key
    }

    /// The first node that says it follows this one; nil when none does.
    public func replica(of primary: Int) async -> Int? {
        let members = await members()
        guard let id = members[primary]?.id else { return nil }
        return members.filter { $0.value.primary == id }.keys.min()
    }

    private func members() async -> [Int: ClusterMember] {
        await withTaskGroup(of: (Int, ClusterMember?).self) { group in
            for node in addresses.indices where isRunning(node) {
                group.addTask {
                    let reply = try? await self.send(RedisCommand("CLUSTER", "NODES"), to: node)
                    return (node, reply?.string.flatMap { ClusterMember(nodes: $0) })
                }
            }
            var members: [Int: ClusterMember] = [:]
            for await (node, member) in group { members[node] = member }
            return members
        }
    }
}
