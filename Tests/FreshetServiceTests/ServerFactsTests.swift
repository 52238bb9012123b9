import FreshetService
import Testing

@Suite struct ServerFactsTests {
    private func words(_ findings: [Finding]) -> [String] { findings.map { "\($0.severity) \($0.check)" } }

    @Test func `INFO is read line by line`() {
        let info = ServerFacts.parsed(
            "# Server\r\nredis_version:7.0.15\r\n\r\nslave0:ip=::1,port=2,state=online\r\n")
        #expect(info == ["redis_version": "7.0.15", "slave0": "ip=::1,port=2,state=online"])
    }

    @Test func `a clock is off when it lies outside of the question and the answer by a second`() {
        #expect(ServerFacts.clock(server: 100.5, before: 100, after: 101).isEmpty)
        #expect(ServerFacts.clock(server: 101.9, before: 100, after: 101).isEmpty)
        let ahead = ServerFacts.clock(server: 104, before: 100, after: 101)
        #expect(words(ahead) == ["warning clock"] && ahead[0].problem.contains("3s ahead of"))
        let behind = ServerFacts.clock(server: 10, before: 100, after: 101)
        #expect(words(behind) == ["critical clock"] && behind[0].problem.contains("1m 30s behind"))
    }

    @Test func `a server that is too old is said`() {
        func found(_ version: String) -> [String] {
            words(ServerFacts.version(["redis_version": version], "s"))
        }
        #expect(found("6.0.16") == ["critical version"] && found("6.2.7") == ["warning version"])
        #expect(found("7.0.15") == [] && found("8.6.3") == [] && found("7.2.4") == [])
    }

    @Test func `writes that failed are critical`() {
        let fine = ["aof_enabled": "1", "rdb_last_bgsave_status": "ok", "aof_last_write_status": "ok"]
        #expect(ServerFacts.persistence(fine, save: "", "s").isEmpty)
        var failed = fine
        failed["rdb_last_bgsave_status"] = "err"
        #expect(words(ServerFacts.persistence(failed, save: "", "s")) == ["critical persistence"])
        failed = fine
        failed["aof_last_write_status"] = "err"
        #expect(words(ServerFacts.persistence(failed, save: "", "s")) == ["critical persistence"])
        let snapshots = ServerFacts.persistence(["aof_enabled": "0"], save: "3600 1", "s")
        #expect(words(snapshots) == ["warning persistence"])
        #expect(
            words(ServerFacts.persistence(["aof_enabled": "0"], save: "", "s")) == ["critical persistence"])
    }

    @Test func `replicas that lag, are not there or were asked for are said`() {
        var info = [
            "role": "master", "connected_slaves": "1",
            "slave0": "ip=10.0.0.2,port=6379,state=online,offset=1,lag=1",
        ]
        #expect(ServerFacts.replication(info, replicasWanted: 1, "s").isEmpty)
        #expect(words(ServerFacts.replication(info, replicasWanted: 2, "s")) == ["critical replication"])
        info["slave0"] = "ip=10.0.0.2,port=6379,state=online,offset=1,lag=40"
        let late = ServerFacts.replication(info, replicasWanted: 1, "s")
        #expect(words(late) == ["warning replication"] && late[0].problem.contains("10.0.0.2:6379"))
        info["min_slaves_good_slaves"] = "0"
        #expect(words(ServerFacts.replication(info, replicasWanted: 0, "s")).contains("critical replication"))
        #expect(
            words(ServerFacts.replication(["role": "slave"], replicasWanted: 0, "s")) == [
                "critical replication"
            ])
    }

    @Test func `memory that runs out is said before it has`() {
        func found(_ used: Int) -> [String] {
            words(ServerFacts.memory(["maxmemory": "1000", "used_memory": "\(used)"], "s"))
        }
        #expect(found(740) == [] && found(760) == ["warning memory"] && found(900) == ["critical memory"])
    }

    @Test func `slots without a node are critical`() {
        #expect(ServerFacts.cluster(["cluster_state": "ok", "cluster_slots_assigned": "16384"], "s").isEmpty)
        let down = ["cluster_state": "fail", "cluster_slots_assigned": "16384", "cluster_slots_fail": "5461"]
        #expect(words(ServerFacts.cluster(down, "s")) == ["critical cluster", "critical cluster"])
    }

    @Test func `a library of another major version is critical`() {
        #expect(ServerFacts.library(headers: "0.14.1", file: "libhiredis.so.0.14").isEmpty)
        #expect(ServerFacts.library(headers: "1.2.0", file: "libhiredis.so.1.1.0").isEmpty)
        #expect(
            words(ServerFacts.library(headers: "1.2.0", file: "libhiredis.so.0.14")) == ["critical hiredis"])
        #expect(ServerFacts.library(headers: "1.2.0", file: nil).isEmpty)
    }

    @Test func `no password is shown of a database`() {
        #expect(
            Diagnosis.withoutPassword("postgres://payment:s3c@ret@db:5432/pay?sslmode=require")
                == "postgres://payment@db:5432/pay")
        #expect(Diagnosis.withoutPassword("postgres://db/pay") == "postgres://db/pay")
        #expect(Diagnosis.withoutPassword("sqlite:/a/b.db?synchronous=full") == "sqlite:/a/b.db")
    }
}
