import Glibc
import Hiredis
import Testing

@testable import FreshetTesting

@Suite struct NetworkCutTests {
    @Test(.enabled("needs root and iptables") { await NetworkCut.isPossible() })
    func `cuts end one by one`() async throws {
        let (one, other) = (NetworkCut(), NetworkCut())
        try await one.cut("127.251.0.1", from: ["127.251.0.1", "127.251.0.2", "127.251.0.3"])
        try await other.cut("127.251.0.1", from: ["127.251.0.2"])
        #expect(try await one.rules().count == 4)
        #expect(try await other.rules().count == 2)
        try await one.heal()
        #expect(try await one.rules().isEmpty)
        #expect(try await other.rules().count == 2)
        try await other.heal()
        try await other.heal()
        #expect(try await other.rules().isEmpty)
    }

    @Test(.enabled("needs root and iptables") { await NetworkCut.isPossible() })
    func `a test that fails leaves no rule, no process and no file`() async throws {
        let cluster = LocalRedisCluster(primaries: 1)
        await #expect(throws: Planned.self) {
            try await withRedisCluster(cluster) { cluster in
                try await cluster.cut(1)
                try await cluster.cut(1)
                #expect(try await rules(of: cluster).count == 4)
                throw Planned()
            }
        }
        #expect(try await rules(of: cluster).isEmpty)
        #expect(!cluster.isRunning(0) && !cluster.isRunning(1))
    }

    @Test func `a machine without iptables is told what to install, and heals nothing`() async throws {
        let cut = NetworkCut(binary: nil)
        let error = await #expect(throws: NetworkCut.CutError.self) {
            try await cut.cut("127.251.1.1", from: ["127.251.1.2"])
        }
        #expect(error?.description.contains("apt-get install iptables") == true)
        try await cut.heal()
    }

    @Test func `what iptables says when it refuses is passed on`() async throws {
        // `ls` refuses the arguments as iptables would without root: it ends with a code and prints why.
        let error = await #expect(throws: NetworkCut.CutError.self) {
            try await NetworkCut(binary: "/bin/ls").cut("127.251.2.1", from: ["127.251.2.2"])
        }
        #expect(error?.description.contains("is this root?") == true)
        #expect(
            error?.description.contains("cannot access") == true
                || error?.description.contains("invalid") == true)
    }
}
