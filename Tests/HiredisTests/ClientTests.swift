import FreshetTesting
import Hiredis
import Testing

@Suite struct ClientTests {
    @Test func `a command gets its reply`() async throws {
        try await withServer { server, client in
            try await client.send(RedisCommand("SET", "k", "grün"))
            #expect(try await client.send(RedisCommand("GET", "k")).string == "grün")
            #expect(try await client.send(RedisCommand("GET", "none")).isNull)
            #expect(try await client.send(RedisCommand("INCR", "n")).integer == 1)
        }
    }

    @Test func `a pipeline's replies come back in order, errors among them`() async throws {
        try await withServer { server, client in
            var pipeline = RedisPipeline()
            pipeline.append("SET", "k", "1")
            pipeline.append("LPUSH", "k", "x")
            pipeline.append("XADD", "s", "1-1", "a", "b", "c", "d")
            pipeline.append("XRANGE", "s", "-", "+")
            pipeline.append("GET", "k")
            let replies = try await client.send(pipeline)
            #expect(replies.count == 5)
            #expect(replies[0].string == "OK")
            #expect(replies[1].error?.serverCode == "WRONGTYPE")
            #expect(replies[2].string == "1-1")
            let entry = try #require(replies[3].array?[0].array)
            #expect(entry[0].string == "1-1")
            #expect(entry[1].array?.map { $0.string ?? "" } == ["a", "b", "c", "d"])
            #expect(replies[4].string == "1")
        }
    }

    @Test func `the server's error is thrown with its code`() async throws {
        try await withServer { server, client in
            try await client.send(RedisCommand("SET", "k", "1"))
            let error = await #expect(throws: RedisError.self) {
                try await client.send(RedisCommand("XLEN", "k"))
            }
            #expect(error?.code == .server)
            #expect(error?.serverCode == "WRONGTYPE")
            #expect(error?.isRetryable == false)
        }
    }

    @Test func `many tasks share one connection`() async throws {
        try await withServer { server, client in
            let sum = try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<500 {
                    group.addTask { try await client.send(RedisCommand("ECHO", "\(number)")).integer ?? -1 }
                }
                return try await group.reduce(0, +)
            }
            #expect(sum == 499 * 500 / 2)
            let clients = try await client.send(RedisCommand("CLIENT", "LIST")).string ?? ""
            #expect(clients.split(separator: "\n").filter { $0.contains("name=shared") }.count == 1)
        }
    }

    @Test func `a task on the loop gets its replies there`() async throws {
        try await withServer { server, client in
            let answers = try await withTaskExecutorPreference(client.loop) {
                var answers: [String] = []
                for number in 0..<100 {
                    answers.append(try await client.send(RedisCommand("ECHO", number)).string ?? "")
                    #expect(client.loop.isCurrent)
                }
                return answers
            }
            #expect(answers == (0..<100).map(String.init))
        }
    }

    @Test func `a late reply goes to nobody, and the next command gets its own`() async throws {
        try await withServer { server, client in
            try await client.connect()
            server.pause()
            let error = await #expect(throws: RedisError.self) {
                try await client.send(RedisCommand("ECHO", "late"), timeout: .milliseconds(100))
            }
            #expect(error?.code == .timedOut)
            #expect(error?.mayHaveRun == true)
            server.resume()
            #expect(try await client.send(RedisCommand("ECHO", "mine")).string == "mine")
        }
    }

    @Test func `a cancelled task returns at once`() async throws {
        try await withServer { server, client in
            try await client.connect()
            let started = ContinuousClock.now
            let task = Task {
                try await client.send(RedisCommand("BLPOP", "none", 20), timeout: .seconds(30))
            }
            while try await blockedClients(of: server) == 0 {}
            task.cancel()
            let error = await #expect(throws: RedisError.self) { try await task.value }
            #expect(error?.code == .cancelled)
            #expect(ContinuousClock.now - started < .seconds(10))
        }
    }

    @Test func `a server that was killed and is back is found again; what was sent may have run`()
        async throws
    {
        try await withServer { server, client in
            try await client.send(RedisCommand("SET", "k", "1"))
            let blocked = Task {
                try await client.send(RedisCommand("BLPOP", "none", 20), timeout: .seconds(30))
            }
            while try await blockedClients(of: server) == 0 {}
            await server.kill()
            let error = await #expect(throws: RedisError.self) { try await blocked.value }
            #expect(error?.code == .connectionLost)
            #expect(error?.mayHaveRun == true)
            async let waiting = client.send(RedisCommand("PING"))
            try await server.start()
            #expect(try await waiting.string == "PONG")
        }
    }

    @Test func `a server that is not there is an error in time, and nothing ran`() async throws {
        var configuration = RedisConfiguration(address: .tcp(host: "localhost", port: freePort()))
        configuration.connectTimeout = .milliseconds(200)
        let client = RedisClient(configuration)
        let error = await #expect(throws: RedisError.self) {
            try await client.send(RedisCommand("PING"), timeout: .milliseconds(300))
        }
        #expect(error?.code == .connectionFailed)
        #expect(error?.mayHaveRun == false)
        #expect(error?.description.contains("refused") == true)
    }

    @Test func `credentials, database and name are used, on IPv4 and IPv6 too`() async throws {
        let port = freePort()
        let server = LocalRedisServer(
            port: port,
            options: [
                "--bind", "127.0.0.1", "::1", "--user", "worker", "on", ">s3cret", "~*", "&*", "+@all",
                "--user", "default", "off",
            ])
        try await withRedisServer(server) { server in
            for host in ["127.0.0.1", "[::1]", "localhost"] {
                let client = RedisClient(
                    try RedisConfiguration(url: "redis://worker:s3cret@\(host):\(port)/3?client-name=till"))
                let info = try await client.send(RedisCommand("CLIENT", "INFO")).string ?? ""
                #expect(info.contains("name=till") && info.contains("db=3") && info.contains("user=worker"))

                client.close()
            }
            let wrong = RedisClient(try RedisConfiguration(url: "redis://worker:wr0ng@127.0.0.1:\(port)"))
            let error = await #expect(throws: RedisError.self) { try await wrong.connect() }
            #expect(error?.code == .authentication)
            #expect(error?.description.contains("wr0ng") == false)
            let none = RedisClient(try RedisConfiguration(url: "redis://127.0.0.1:\(port)"))
            let missing = await #expect(throws: RedisError.self) { try await none.connect() }
            #expect(missing?.code == .authentication)
        }
    }

    @Test func `a closed client answers so`() async throws {
        try await withServer { server, client in
            try await client.connect()
            client.close()
            let error = await #expect(throws: RedisError.self) { try await client.send(RedisCommand("PING")) }
            #expect(error?.code == .closed)
        }
    }
}

/// Clients that wait in a blocking command, by the server's own count.
private func blockedClients(of server: LocalRedisServer) async throws -> Int {
    let client = RedisClient(try RedisConfiguration(url: server.url))
    defer { client.close() }
    let info = try await client.send(RedisCommand("INFO", "clients")).string ?? ""
    let line = info.split(whereSeparator: \.isNewline).first { $0.hasPrefix("blocked_clients:") }
    return line.flatMap { Int($0.dropFirst("blocked_clients:".count)) } ?? 0
}

func withServer(_ body: (LocalRedisServer, RedisClient) async throws -> Void) async throws {
    try await withRedisServer { server in
        var configuration = try RedisConfiguration(url: server.url)
        configuration.clientName = "shared"
        let client = RedisClient(configuration)
        defer { client.close() }
        try await body(server, client)
    }
}
