import Freshet
import FreshetReplay
import FreshetTesting
import Hiredis
import Logging
import ServiceLifecycle

/// A server, a client and a broker of one test, and a topic that the group `payment` reads.
struct Rig {
    let server: LocalRedisServer
    let broker: Broker
    var client: RedisClient { broker.client }

    static func with(
        _ server: LocalRedisServer = LocalRedisServer(), _ body: (Rig) async throws -> Void
    ) async throws {
        try await withRedisServer(server) { server in
            let client = RedisClient(try RedisConfiguration(url: server.url))
            defer { client.close() }
            try await body(Rig(server: server, broker: Broker(client, namespace: "test")))
        }
    }

    func keys(_ partition: Int = 0) -> PartitionKeys { broker.keys("orders", partition) }
    func redelivery(_ partition: Int = 0) -> String { keys(partition).redelivery("payment") }

    @discardableResult
    func redis(_ arguments: any RedisArgument...) async throws -> RedisReply {
        try await client.send(RedisCommand(arguments: arguments))
    }

    /// Adds events with these numbers as milliseconds, ids and data, of the types `even` and `odd`.
    func publish(_ numbers: some Sequence<Int>, partition: Int = 0) async throws {
        var pipeline = RedisPipeline()
        for number in numbers {
            pipeline.append(
                "XADD", keys(partition).events, "\(number)-0", "specversion", "1.0", "id", "e\(number)",
                "source", "till", "type", number.isMultiple(of: 2) ? "even" : "odd", "partitionkey",
                "k\(number % 3)", "data", "{\"number\":\(number)}")
        }
        for reply in try await client.send(pipeline) { try reply.get() }
    }

    func createGroup(after start: String = "0", partitions: Int = 1) async throws {
        for partition in 0..<partitions {
            for stream in [keys(partition).events, redelivery(partition)] {
                try await redis("XGROUP", "CREATE", stream, "payment", start, "MKSTREAM")
            }
        }
    }

    /// Reads so many events of the log as a consumer of the group, and acknowledges them when that is asked for.
    func read(_ count: Int, acknowledging: Bool = true, partition: Int = 0) async throws -> [StreamID] {
        let reply = try await redis(
            "XREADGROUP", "GROUP", "payment", "c", "COUNT", count, "STREAMS", keys(partition).events, ">")
        let entries = reply.array?[0].array?[1].array.map(Array.init) ?? []
        let ids = entries.compactMap { $0.array?[0].string.flatMap { StreamID($0) } }
        for id in ids where acknowledging {
            try await redis("XACK", keys(partition).events, "payment", id.description)
        }
        return ids
    }

    func ids(_ stream: String) async throws -> [StreamID?] {
        var ids: [StreamID?] = []
        for try await entry in broker.entries(of: stream) { ids.append(entry.originalID) }
        return ids
    }

    /// A plan that has the group `payment` see events again.
    func redeliver(
        from: ReplayPoint = .start, to: ReplayPoint = .end, types: Set<EventType> = [],
        keys: Set<String> = [],
        change: (inout ReplayRequest) -> Void = { _ in }
    ) async throws -> ReplayPlan {
        var request = ReplayRequest(topic: "orders", to: .group("payment"))
        (request.from, request.to) = (from, to)
        request.filter.types = types
        request.filter.keys = keys
        request.limits.waiting = nil
        change(&request)
        return try await broker.plan(request)
    }

    /// Runs a plan to its end; returns how many events it put where they go.
    func run(
        _ plan: ReplayPlan, onProgress: @escaping (ReplayProgress) -> Bool = { _ in true }
    ) async throws -> Int {
        let job = try await broker.save(plan, by: Operator("tester"))
        return try await ReplayRun.run(job, by: Operator("tester"), on: broker, onProgress: onProgress).done
    }
}

struct Unexpected: Error, CustomStringConvertible { let description: String }

func id(_ milliseconds: UInt64, _ sequence: UInt64 = 0) -> StreamID {
    StreamID(milliseconds: milliseconds, sequence: sequence)
}
