import Freshet
import FreshetReplay
import FreshetTesting
import Hiredis
import Testing

@Suite struct ArchiveClusterTests {
    @Test func `a topic on a cluster's nodes is archived, read as one history and restored there`()
        async throws
    {
        try await withRedisCluster(LocalRedisCluster(nodeTimeout: .seconds(60))) { nodes in
            let client = RedisClient(try RedisConfiguration(url: nodes.url))
            defer { client.close() }
            let rig = Rig(
                server: LocalRedisServer(folder: "\(nodes.folder)/rig"),
                broker: Broker(client, namespace: "test"))
            let topic = rig.topic(partitions: 3)
            try await rig.broker.declare(TopicDeclaration(topic, groups: [GroupDeclaration("payment")]))
            for partition in 0..<3 { try await rig.publish(1...200, partition: partition) }
            _ = try await rig.read(120, partition: 2)
            #expect(try await rig.pass(topic, segment: 70).map(\.archived) == [200, 200, 200])
            #expect(try await rig.problems() == [])
            let before = try await rig.contents(rig.keys(1).events)
            for partition in 0..<3 {
                try await rig.redis("XTRIM", rig.keys(partition).events, "MINID", "150-0")
                let pages = History(of: topic, on: rig.broker, archive: try rig.archive)
                    .pages(ofPartition: partition)
                #expect(try await rig.ids(pages) == (1...200).map { id($0) })
                try await rig.redis("DEL", rig.keys(partition).events)
                try await rig.redis("DEL", rig.redelivery(partition))
            }
            try await rig.redis("DEL", "test:topic:{orders}")
            try await rig.restore(from: rig)
            #expect(try await rig.contents(rig.keys(1).events) == before)
            #expect(try await rig.read(1, partition: 2) == [id(121)])
        }
    }
}
