internal import Freshet

/// What a user must be allowed to do, each as a command on the keys that it is done with.
///
/// Each is harmless where it is marked so: it asks for what does not exist, or for what the server refuses after it has looked whether
/// the user may.
struct RequiredRight: Sendable {
    /// For what: `publish`, `consume`.
    let purpose: String
    let command: [String]
    /// Whether it may be tried where the server does not say (ACL DRYRUN).
    let isHarmless: Bool

    /// Those of publishing to a topic, as docker/acl/users.conf has them. What only some publishers do is left out: to publish for later, and
    /// to wait for replicas.
    static func publishing(_ keys: PartitionKeys) -> [RequiredRight] {
        let topic = keys.namespace.topicKey(keys.topic)
        return all(
            "publish",
            harmless: [
                ["HMGET", topic, "partitions"], ["XADD", keys.events, "NOMKSTREAM", "0-0", "id", "0"],
                ["XRANGE", keys.events, "0-1", "0-1"], ["XLEN", keys.events],
                ["EVAL", "return 1", "1", keys.events],
                ["EVALSHA", String(repeating: "0", count: 40), "1", keys.events], ["TIME"],
            ])
    }

    /// Those of a group's consumers, as docker/acl/users.conf has them; without those of the outbox and of metrics.
    static func consuming(_ keys: PartitionKeys, _ group: GroupName) -> [RequiredRight] {
        let (log, again, nobody) = (keys.events, keys.redelivery(group), "freshet-doctor")
        let topic = keys.namespace.topicKey(keys.topic)
        return all(
            "consume",
            harmless: [
                ["HGET", topic, "partitions"], ["HGETALL", topic], ["HDEL", topic, nobody],
                ["XREAD", "STREAMS", log, "$"],
                ["XREADGROUP", "GROUP", nobody, nobody, "STREAMS", log, again, ">", ">"],
                ["XACK", log, nobody, "0-1"], ["XACK", again, nobody, "0-1"],
                ["XPENDING", log, nobody], ["XCLAIM", log, nobody, nobody, "0", "0-1"],
                ["XAUTOCLAIM", log, nobody, nobody, "0", "0"], ["XRANGE", log, "0-1", "0-1"],
                ["XREVRANGE", log, "0-1", "0-1"], ["ZREVRANGE", keys.delayed(group), "0", "0"],
                ["HLEN", keys.namespace.membersKey(keys.topic, group)], ["XDEL", again, "0-1"],
                ["XTRIM", log, "MINID", "0"], ["XLEN", log],
                ["XADD", again, "NOMKSTREAM", "0-0", "id", "0"],
                ["XADD", keys.dead(group), "NOMKSTREAM", "0-0", "id", "0"],
                ["XADD", keys.invalid(group), "NOMKSTREAM", "0-0", "id", "0"],
                ["XGROUP", "CREATE", log, nobody, "no-id"], ["XGROUP", "DELCONSUMER", log, nobody, nobody],
                ["XINFO", "GROUPS", log], ["XINFO", "CONSUMERS", log, nobody], ["XINFO", "STREAM", log],
                ["ZADD", keys.delayed(group), "XX", "0", "-"], ["ZREM", keys.delayed(group), nobody],
                ["ZRANGE", keys.delayed(group), "0", "0"],
                ["ZRANGEBYSCORE", keys.delayed(group), "-inf", "-inf"], ["TYPE", keys.delayed(group)],
                ["EXISTS", keys.delayed(group)], ["HMGET", keys.lease(group), "owner"],
                ["PEXPIRE", keys.lease(group), "no-number"],
                ["HSET", keys.lease(group), "owner", nobody, "epoch"],
                ["SET", keys.sweep(group), nobody, "NX", "PX", "0"],
                ["HGETALL", keys.namespace.membersKey(keys.topic, group)],
                ["EVAL", "return 1", "1", log], ["EVALSHA", String(repeating: "0", count: 40), "1", log],
                ["TIME"],
            ])
            + all(
                "consume", harmless: [],
                others: [
                    ["HSETNX", topic, "partitions", "1"], ["PERSIST", keys.lease(group)],
                    ["HSET", keys.namespace.membersKey(keys.topic, group), "-", "-"],
                ])
    }

    private static func all(_ purpose: String, harmless: [[String]], others: [[String]] = [])
        -> [RequiredRight]
    {
        harmless.map { RequiredRight(purpose: purpose, command: $0, isHarmless: true) }
            + others.map { RequiredRight(purpose: purpose, command: $0, isHarmless: false) }
    }

    /// `XADD`, `XGROUP|CREATE`: as an ACL has it.
    var name: String {
        ["XGROUP", "XINFO"].contains(command[0]) ? "\(command[0])|\(command[1])" : command[0]
    }
}
