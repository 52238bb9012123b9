import FoundationEssentials
import FreshetTesting
import Glibc
import Hiredis
import Testing

@Suite struct ExitTests {
    @Test func `a failure is one line with the tool's name, and an exit code that says what kind`()
        async throws
    {
        try await Rig.with { rig in
            try await rig.publish(1...3)
            try await rig.createGroup()
            let place = ["--topic", "orders", "--group", "payment"]
            let range = ["--from", "start", "--to", "end"]
            let cases: [(tool: String, arguments: [String], code: Int32, says: String)] = [
                ("freshet", ["groups", "--bogus"], 64, "--bogus"),
                ("freshet", ["groups", "--format", "yaml"], 64, "yaml"),
                ("freshet", ["groups", "--topic", "or ders"], 64, "or ders"),
                ("freshet", ["groups", "--namespace", "a b"], 64, "a b"),
                ("freshet", ["groups", "--connect-timeout", "0"], 64, "--connect-timeout"),
                ("freshet", ["groups", "--topic", "none"], 1, "orders"),
                ("freshet", ["groups", "--topic", "orders", "--group", "none"], 1, "payment"),
                ("freshet", ["groups", "--group", "none"], 1, "'none'"),
                ("freshet", ["groups", "--redis-url", "http://x"], 78, "http"),
                ("freshet", ["groups", "--redis-url", "redis://:hush@host:port"], 78, "port"),
                ("freshet", ["tail"], 64, "topic"),
                ("freshet", ["tail", "none"], 1, "'none'"),
                ("freshet", ["tail", "orders", "--from", "yesterday"], 64, "yesterday"),
                ("freshet", ["tail", "orders", "--count", "-1"], 64, "--count"),
                ("freshet", ["tail", "orders", "--follow", "--format", "json"], 64, "ndjson"),
                ("freshet", ["publish", "orders", "--data", "{}"], 64, "--type"),
                ("freshet", ["publish", "orders", "--type", "t", "--id", "1"], 64, "--data"),
                ("freshet", ["publish", "orders", "--type", "t", "--data", "{"], 65, "not JSON"),
                ("freshet", ["dead", "retry"] + place, 64, "--all"),
                ("freshet", ["dead", "discard"] + place, 64, "--all"),
                ("freshet", ["dead", "retry", "--all", "--id", "1-0"] + place, 64, "--all"),
                ("freshet", ["dead", "retry", "--id", "x"] + place, 64, "'x'"),
                ("freshet", ["dead", "retry", "--id", "1-0", "--yes"] + place, 1, "1-0"),
                ("freshet", ["dead", "list", "--topic", "orders", "--group", "none"], 1, "payment"),
                ("replay", ["redeliver"] + place, 64, "--from"),
                ("replay", ["redeliver"] + place + range + ["--type", "a b"], 64, "a b"),
                ("replay", ["redeliver"] + place + ["--from", "3-0", "--to", "2-0"], 64, "behind"),
                ("replay", ["redeliver", "--topic", "none", "--group", "g"] + range, 1, "orders"),
                ("replay", ["redeliver", "--topic", "orders", "--group", "none"] + range, 1, "payment"),
                ("replay", ["rewind", "--to", "soon"] + place, 64, "soon"),
                ("replay", ["rewind", "--to", "start", "--partition", "7"] + place, 1, "7"),
            ]
            for item in cases {
                let outcome = try await rig.start(item.tool, item.arguments).outcome()
                let lines = outcome.errors.split(separator: "\n")
                #expect(outcome.exitCode == item.code, "\(item): \(outcome.errors)")
                #expect(lines.count == 1 && lines.first?.hasPrefix("\(item.tool): ") == true, "\(lines)")
                #expect(outcome.errors.contains(item.says), "\(item): \(outcome.errors)")
                #expect(outcome.output.isEmpty, "\(item): \(outcome.output)")
                #expect(!outcome.errors.contains("hush"))
            }
        }
    }

    @Test func `a server that is not there is 69, in time`() async throws {
        try await Rig.with { rig in
            let url = "redis://:hush@127.0.0.1:\(freePort())"
            for (flags, variables) in [
                (["--connect-timeout", "0.3"], [:]), ([], ["FRESHET_CONNECT_TIMEOUT": "0.3"]),
            ] as [([String], [String: String])] {
                let started = ContinuousClock.now
                let outcome = try await rig.start(
                    "replay",
                    ["redeliver", "--topic", "o", "--group", "g", "--from", "start", "--to", "end"]
                        + ["--redis-url", url] + flags,
                    environment: variables
                ).outcome()
                #expect(outcome.exitCode == 69)
                #expect(outcome.errors.contains("refused"), "\(outcome.errors)")
                #expect(!outcome.errors.contains("hush"))
                #expect(ContinuousClock.now - started < .seconds(15), "not the default of 30 s")
            }
            let bad = try await rig.run("freshet", "groups", environment: ["FRESHET_CONNECT_TIMEOUT": "soon"])
            #expect(bad.exitCode == 78 && bad.errors.contains("FRESHET_CONNECT_TIMEOUT"))
            let name = try await rig.run("freshet", "groups", environment: ["FRESHET_NAMESPACE": "a b"])
            #expect(name.exitCode == 78 && name.errors.contains("FRESHET_NAMESPACE"))
        }
    }

    @Test func `a server that does not answer is 69; one that cannot write just now is 75`() async throws {
        try await Rig.with(LocalRedisServer(options: ["--maxmemory", "1"])) { rig in
            let full = try await rig.run("freshet", "publish", "orders", "--type", "t", "--data", "{}")
            #expect(full.exitCode == 75, "\(full.errors)")
            rig.server.pause()
            defer { rig.server.resume() }
            let frozen = try await rig.run("freshet", "groups", "--connect-timeout", "0.3")
            #expect(frozen.exitCode == 69, "\(frozen.errors)")
        }
    }

    @Test func `a password comes from the URL, a variable or a file, a wrong one is 78, and none is shown`()
        async throws
    {
        let port = freePort()
        let server = LocalRedisServer(port: port, options: ["--requirepass", "s3cret"])
        try await withRedisServer(server) { server in
            let client = RedisClient(try RedisConfiguration(url: "redis://:s3cret@127.0.0.1:\(port)"))
            defer { client.close() }
            let rig = Rig(server, client)
            let file = "\(server.folder)/password"
            try "s3cret\n".write(toFile: file, atomically: false, encoding: .utf8)
            let bare = "redis://127.0.0.1:\(port)"
            let cases: [(url: String, environment: [String: String], code: Int32)] = [
                ("redis://:s3cret@127.0.0.1:\(port)", [:], 0), (bare, ["REDIS_PASSWORD": "s3cret"], 0),
                (bare, ["REDIS_PASSWORD_FILE": file], 0), (bare, [:], 78),
                ("redis://:wr0ng@127.0.0.1:\(port)", [:], 78), (bare, ["REDIS_PASSWORD": "wr0ng"], 78),
                (bare, ["REDIS_PASSWORD_FILE": "\(file).none"], 78),
            ]
            for item in cases {
                let outcome = try await rig.run(
                    "freshet", "groups", "--redis-url", item.url, environment: item.environment)
                #expect(outcome.exitCode == item.code, "\(item): \(outcome.errors)")
                #expect(!outcome.errors.contains("s3cret") && !outcome.errors.contains("wr0ng"))
                #expect(outcome.errors.split(separator: "\n").count == 1)
            }
        }
    }

    @Test func `help is data and no error, for each command`() async throws {
        try await Rig.with { rig in
            for (tool, command) in [
                ("freshet", ["doctor"]), ("freshet", ["consumers"]), ("freshet", ["pending"]),
                ("freshet", ["check"]),
                ("freshet", []), ("freshet", ["groups"]), ("freshet", ["tail"]), ("freshet", ["publish"]),
                ("freshet", ["dead"]), ("freshet", ["dead", "list"]), ("freshet", ["dead", "retry"]),
                ("replay", []), ("replay", ["redeliver"]), ("replay", ["rewind"]),
            ] as [(String, [String])] {
                let outcome = try await rig.start(tool, command + ["--help"]).outcome()
                #expect(outcome.exitCode == 0 && outcome.errors.isEmpty)
                #expect(outcome.output.contains("USAGE: \(tool)"))
                let tells = command.isEmpty && tool == "freshet" ? "in this order:" : "Examples:"
                if command.count < 2 { #expect(outcome.output.contains(tells), "\(tool) \(command)") }
            }
        }
    }

    @Test func `Ctrl-C ends a tool that only looks with 130`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...3)
            let tail = try rig.start("freshet", ["tail", "orders", "--follow"])
            try await eventually("it has begun") { tail.output.contains("3-0") }
            tail.child.signal(SIGINT)
            let outcome = await tail.outcome()
            #expect(outcome.exitCode == 130)
            #expect(outcome.lines.count == 4 && outcome.errors.isEmpty)
        }
    }
}
