import Testing

@testable import FreshetTesting

@Suite struct ClusterMemberTests {
    @Test func `a node's own line is found among the others'`() {
        let text = """
            aaa 127.1.2.3:7000@17000 master - 0 1700000000000 3 connected 10923-16383
            bbb 127.1.2.4:7000@17000,host myself,master - 0 0 7 connected 0 5-9 5461-10922 [3->-ccc] [4-<-aaa]
            ccc 127.1.2.5:7000@17000 slave bbb 0 1700000000000 7 connected

            """
        let member = ClusterMember(nodes: text)
        #expect(member?.id == "bbb" && member?.primary == nil && member?.epoch == 7)
        #expect(member?.slots == [0...0, 5...9, 5461...10922])
    }

    @Test func `a replica names its primary and has no slots`() {
        let member = ClusterMember(nodes: "ccc 127.1.2.5:7000@17000 myself,slave bbb 0 0 7 connected")
        #expect(member?.primary == "bbb" && member?.slots.isEmpty == true)
    }

    @Test(arguments: [
        "", "\n", "aaa 127.1.2.3:7000@17000 master - 0 0 3 connected", "myself", "a b myself - 0 0 x c",
    ])
    func `a text without such a line is none`(_ text: String) {
        #expect(ClusterMember(nodes: text) == nil)
    }

    @Test(arguments: [
        (primary: ",,tls-port=0,shard-id=s1", replica: ",,tls-port=0,shard-id=s1", agree: true),
        (",,tls-port=0,shard-id=s1", ",,tls-port=0,shard-id=s2", false), (",,shard-id=s1", "", false),
        (",host", ",host", true), ("", "", true),
    ])
    func `a replica is of its primary's shard, if there are shards`(
        _ primary: String, _ replica: String, _ agree: Bool
    ) {
        let text = """
            ccc 127.1.2.5:7000@17000\(replica) slave,fail? bbb 0 1700000000000 7 connected
            bbb 127.1.2.4:7000@17000\(primary) myself,master - 0 0 7 connected 0 5-9 5461-10922
            aaa 127.1.2.3:7000@17000,,tls-port=0,shard-id=s0 master - 0 0 3 connected
            vars currentEpoch 7 lastVoteEpoch 7

            """
        #expect(ClusterMember.shardsAgree(inFile: text) == agree)
    }
}
