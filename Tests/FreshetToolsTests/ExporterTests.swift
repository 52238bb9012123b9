import Foundation
import FreshetTesting
import Glibc
import Testing

@Suite struct ExporterTests {
    @Test func `with --once it prints how all groups of the namespace stand, and nothing else`() async throws
    {
        try await Rig.with { rig in
            try await rig.publish(1...5)
            try await rig.createGroup("payment", after: "2-0")
            try await rig.createGroup("order")
            try await rig.redis("XADD", "other:events:{orders:0}", "*", "a", "b")
            try await rig.redis("XGROUP", "CREATE", "other:events:{orders:0}", "other", "0")
            let outcome = try await rig.run("freshet", "exporter", "--once")
            #expect(outcome.exitCode == 0 && outcome.errors.isEmpty, "\(outcome)")
            let page = outcome.output
            for line in [
                "# TYPE freshet_group_lag gauge", "freshet_group_lag{group=\"order\",topic=\"orders\"} 5",
                "freshet_group_lag{group=\"payment\",topic=\"orders\"} 3",
                "freshet_group_backlog{group=\"payment\",topic=\"orders\"} 3",
                "freshet_topic_entries{topic=\"orders\"} 5", "freshet_ready 1",
                "freshet_build_info{service=\"exporter\",version=\"dev\"} 1",
            ] {
                #expect(outcome.lines.contains(Substring(line)), "\(line)")
            }
            #expect(!page.contains("\"other\"") && page.contains("freshet_redis_commands_total{"))
            #expect(!page.contains("\nfreshet_outbox_") && !page.contains("what=\"outbox\""))
            guard FileManager.default.isExecutableFile(atPath: "/usr/bin/promtool") else { return }
            let file = "\(rig.server.folder)/page"
            try page.write(toFile: file, atomically: false, encoding: .utf8)
            let judge = try ChildProcess("/usr/bin/promtool", ["check", "metrics"], input: .file(file))
            #expect(await judge.wait() == .exited(0))
        }
    }

    @Test func `it serves fresh numbers or none, whatever becomes of the server, until it is asked to stop`()
        async throws
    {
        try await Rig.with { rig in
            try await rig.publish(1...5)
            try await rig.createGroup("payment")
            let port = freePort()
            let running = try rig.start("freshet", ["exporter", "--http-port", "\(port)"])
            func get(_ path: String) async throws -> String {
                try await Programs.answer(to: path, port: port)
            }
            let lag = "\nfreshet_group_lag{group=\"payment\",topic=\"orders\"} "
            try await eventually("it answers") { try await get("/metrics").contains("\(lag)5\n") }
            let page = try await get("/metrics")
            #expect(page.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"))
            #expect(page.contains("\nfreshet_ready 1\n"))
            let ready = try await get("/readyz?verbose")
            #expect(ready.contains(" 200 OK") && ready.contains("[+]redis ok") && !ready.contains("database"))
            await rig.server.kill()
            try await eventually("the numbers are gone") {
                let page = try await get("/metrics")
                return page.contains("\nfreshet_ready 0\n") && !page.contains("freshet_group_")
                    && page.contains("\nfreshet_poll_failures_total{what=\"group\"} ")
            }
            #expect(try await get("/livez").contains(" 200 OK"))
            try await rig.server.start()
            try await eventually("they are there again") { try await get("/metrics").contains(lag) }
            running.child.signal(SIGTERM)
            let outcome = await running.outcome()
            #expect(outcome.exitCode == 0 && outcome.output.isEmpty, "\(outcome)")
        }
    }

    @Test func `an empty namespace has metrics of the process alone, and a server that is away is an error`()
        async throws
    {
        try await Rig.with { rig in
            let outcome = try await rig.run("freshet", "exporter", "--once")
            #expect(outcome.exitCode == 0 && outcome.output.contains("freshet_start_time_seconds"))
            #expect(!outcome.output.contains("_group_"))
            await rig.server.kill()
            let away = try await rig.run("freshet", "exporter", "--once", "--connect-timeout", "0.2")
            #expect(away.exitCode == 69 && away.output.isEmpty)
        }
    }

    @Test func `it says what it runs with, and the container's check asks it`() async throws {
        try await Rig.with { rig in
            struct Row: Decodable { let name, value, origin: String }
            let shown = try await rig.run(
                "freshet", "exporter", "--print-config", "--format", "json", "--connect-timeout", "7")
            let rows = try shown.json([Row].self)
            func row(_ name: String) -> String? {
                rows.first { $0.name == name }.map { "\($0.value) \($0.origin)" }
            }
            #expect(row("HTTP_PORT") == "9400 default" && row("HTTP_HOST") == "0.0.0.0 default")
            #expect(row("FRESHET_CONNECT_TIMEOUT") == "7 flag --connect-timeout", "\(rows)")
            #expect(row("REDIS_URL")?.hasPrefix(rig.server.url) == true)
            let port = freePort()
            let nobody = try await rig.run("freshet", "health", "--http-port", "\(port)")
            #expect(nobody.exitCode == 1 && nobody.errors.contains("refused"), "\(nobody)")
            let running = try rig.start("freshet", ["exporter", "--http-port", "\(port)"])
            try await eventually("it is ready") {
                try await rig.run("freshet", "health", "ready", "--http-port", "\(port)").exitCode == 0
            }
            running.child.signal(SIGTERM)
            #expect(await running.outcome().exitCode == 0)
        }
    }
}
