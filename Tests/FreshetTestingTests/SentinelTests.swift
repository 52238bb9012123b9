import FoundationEssentials
import FreshetTesting
import Hiredis
import Testing

@Suite(.serialized) struct SentinelTests {
    @Test func `sentinels that stop leave no process and no file`() async throws {
        let sentinels = LocalRedisSentinels()
        let started = try await time { try await sentinels.start() }
        let ids = sentinels.addresses.indices.compactMap { sentinels.processID(of: $0) }
        #expect(Set(ids).count == 6)
        #expect(await sentinels.primary() == 0)
        #expect(sentinels.url.hasSuffix("/shop"))
        let ended = await time { await sentinels.stop() }
        print("sentinels: started in \(started), stopped in \(ended)")
        #expect(!ids.contains(where: isAlive))
        #expect(!FileManager.default.fileExists(atPath: sentinels.folder))
        #expect(await sentinels.primary() == nil)
    }

    @Test func `a killed primary is replaced, and follows when it starts again`() async throws {
        try await withRedisSentinels { sentinels in
            await sentinels.kill(0)
            let failover = try await time {
                try await eventually("another is named") {
                    guard let named = await sentinels.primary() else { return false }
                    return named != 0
                }
            }
            let next = try #require(await sentinels.primary())
            try await eventually("it takes writes") {
                (try? await sentinels.send(RedisCommand("SET", "k", 1), to: next)) != nil
            }
            print("sentinels, killed: another is named after \(failover)")
            try sentinels.restart(0)
            try await eventually("it follows", within: .seconds(60)) {
                (try? await role(of: 0, in: sentinels)) == "slave"
            }
        }
    }

    @Test(.enabled("needs root and iptables") { await LocalRedisNodes.canCut() })
    func `a primary that is cut off answers clients while another takes over, and follows it once healed`()
        async throws
    {
        try await withRedisSentinels { sentinels in
            try await sentinels.cut(0)
            let failover = try await time {
                try await eventually("another is named") {
                    try await sentinels.send(RedisCommand("SET", "lost", 1), to: 0)
                    guard let named = await sentinels.primary() else { return false }
                    return named != 0
                }
            }
            #expect(try await role(of: 0, in: sentinels) == "master", "it does not know")
            let next = try #require(await sentinels.primary())
            #expect(try await role(of: next, in: sentinels) == "master")
            let comeback = try await time {
                try await sentinels.heal()
                try await eventually("the old primary follows", within: .seconds(60)) {
                    // The sentinel that makes it a replica also closes its clients' connections.
                    (try? await role(of: 0, in: sentinels)) == "slave"
                }
            }
            try await eventually("what it took alone is gone") {
                (try? await sentinels.send(RedisCommand("EXISTS", "lost"), to: 0))?.integer == 0
            }
            #expect(await sentinels.primary() == next)
            print(
                "sentinels, cut off: another is named after \(failover), a replica \(comeback) after the healing began"
            )
        }
    }
}
