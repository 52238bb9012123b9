import Freshet
import FreshetTesting
import Hiredis
import Testing

/// The same promises on the broker in memory, on a server and on a cluster.
@Suite struct ConformanceTests {
    @Test(arguments: Conformance.cases)
    func memory(promise: Conformance) async throws {
        try await promise.check(on: ConformanceTarget(try InMemoryBroker()))
    }

    @Test(arguments: Conformance.cases)
    func server(promise: Conformance) async throws {
        try await withRedisServer(LocalRedisServer()) { server in
            let client = RedisClient(try RedisConfiguration(url: server.url))
            defer { client.close() }
            try await promise.check(on: .real(client, "conformance"))
        }
    }

    @Test func cluster() async throws {
        try await withRedisCluster { cluster in
            try await cluster.awaitHealth()
            let client = RedisClient(try RedisConfiguration(url: cluster.url))
            defer { client.close() }
            await withTaskGroup(of: Void.self) { tasks in
                for (number, promise) in Conformance.cases.enumerated() {
                    if number >= 6 { await tasks.next() }
                    tasks.addTask {
                        do {
                            try await promise.check(
                                on: .real(client, Namespace(unchecked: "conformance-\(number)")))
                        } catch {
                            Issue.record(error, "\(promise)")
                        }
                    }
                }
            }
        }
    }
}

extension ConformanceTarget {
    fileprivate static func real(_ client: RedisClient, _ namespace: Namespace) -> ConformanceTarget {
        ConformanceTarget(Broker(client, namespace: namespace)) { try await Task.sleep(for: $0) }
    }
}
