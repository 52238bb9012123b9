import Freshet
import FreshetTesting
import Hiredis
import Logging
import ServiceLifecycle

/// A server, a client and a broker of one test.
struct Rig {
    let server: LocalRedisServer
    let broker: Broker
    var client: RedisClient { broker.client }

    static func with(_ body: (Rig) async throws -> Void) async throws {
        try await withRedisServer { server in
            let client = RedisClient(try RedisConfiguration(url: server.url))
            defer { client.close() }
            try await body(Rig(server: server, broker: Broker(client, namespace: "test")))
        }
    }

    @discardableResult
    func redis(_ arguments: any RedisArgument...) async throws -> RedisReply {
        try await client.send(RedisCommand(arguments: arguments))
    }

    func log(_ topic: TopicName = "orders", _ partition: Int = 0) -> String {
        broker.keys(topic, partition).events
    }

    /// Adds entries with these ids (and a sequence number of 0) to a stream.
    func fill(_ stream: String, _ numbers: some Sequence<Int>) async throws {
        var pipeline = RedisPipeline()
        for number in numbers {
            pipeline.append("XADD", stream, "\(number)-0", "id", "e\(number)", "source", "s", "type", "t")
        }
        for reply in try await client.send(pipeline) { try reply.get() }
    }

    /// The report of the only topic's only group.
    func report(countingUpTo most: Int = 1_000_000) async throws -> GroupReport {
        let reports = try await broker.groupReports(countingUpTo: most)
        guard let first = reports.first, reports.count == 1 else {
            throw Unexpected(description: "\(reports.count) reports")
        }
        return first
    }
}

struct Unexpected: Error, CustomStringConvertible { let description: String }

func id(_ milliseconds: UInt64, _ sequence: UInt64 = 0) -> StreamID {
    StreamID(milliseconds: milliseconds, sequence: sequence)
}
