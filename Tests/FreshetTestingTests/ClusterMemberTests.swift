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
}
