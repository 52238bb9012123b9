import FreshetTesting
import Glibc
import Testing

@Suite struct TailTests {
    struct Line: Decodable {
        let id: String
        let partition: Int
        let fields: [String: String]
    }

    private func ids(_ rig: Rig, _ arguments: String...) async throws -> [String] {
        let outcome = try await rig.start("freshet", ["tail", "orders", "--format", "json"] + arguments)
            .outcome()
        #expect(outcome.exitCode == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
        return try outcome.json([Line].self).map(\.id)
    }

    @Test func `it begins with the newest, or anywhere, and ends after so many`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...30)
            #expect(try await ids(rig) == (21...30).map { "\($0)-0" })
            #expect(try await ids(rig, "--count", "2") == ["29-0", "30-0"])
            #expect(try await ids(rig, "--count", "0") == [])
            #expect(try await ids(rig, "--from", "start") == (1...30).map { "\($0)-0" })
            #expect(try await ids(rig, "--from", "28-0") == ["28-0", "29-0", "30-0"])
            #expect(try await ids(rig, "--from", "10-0", "--count", "2") == ["10-0", "11-0"])
            #expect(try await ids(rig, "--from", "1970-01-01T00:00:00.029Z") == ["29-0", "30-0"])
            #expect(try await ids(rig, "--from", "end") == [])
            #expect(try await ids(rig, "--from", "1h") == [])
        }
    }

    @Test func `partitions are merged in the order of their ids`() async throws {
        try await Rig.with { rig in
            try await rig.publish(stride(from: 1, through: 601, by: 2))
            try await rig.publish(stride(from: 2, through: 100, by: 2), partition: 1)
            #expect(try await ids(rig, "--from", "start", "--count", "100") == (1...100).map { "\($0)-0" })
            #expect(try await ids(rig, "--count", "2") == ["599-0", "601-0"])
            #expect(try await ids(rig, "--from", "start").count == 301 + 50)
        }
    }

    @Test func `JSON has every field; what is not UTF-8 stands in base64`() async throws {
        try await Rig.with { rig in
            let raw: [UInt8] = [0xff, 0xfe]
            try await rig.redis(
                "XADD", "test:events:{orders:0}", "5-1", "type", "t", "data", raw, "colour", "blå\n")
            let outcome = try await rig.run("freshet", "tail", "orders", "--format", "ndjson")
            #expect(outcome.lines.count == 1)
            let line = try outcome.json(Line.self)
            #expect(line.id == "5-1" && line.partition == 0)
            #expect(line.fields == ["type": "t", "data_base64": "//4=", "colour": "blå\n"])
        }
    }

    @Test func `a table shows one line an event, and nothing in it steers the terminal`() async throws {
        try await Rig.with { rig in
            try await rig.publish([7])
            try await rig.redis(
                "XADD", "test:events:{orders:0}", "8-0", "type", "x\u{1b}[31m", "data", "a\nb\u{202e}c")
            let outcome = try await rig.run("freshet", "tail", "orders")
            #expect(
                outcome.lines == [
                    "ID   TYPE          KEY  DATA", "7-0  order.placed  k1   {\"number\":7}",
                    #"8-0  x\u{1B}[31m   -    a\nb\u{202E}c"#,
                ])
        }
    }

    @Test func `with --follow what comes is printed at once, from all partitions`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...3)
            try await rig.publish([2], partition: 1)
            let tail = try rig.start(
                "freshet", ["tail", "orders", "--follow", "--count", "1", "--format", "ndjson"])
            try await eventually("it has begun") { tail.output.contains("\"3-0\"") }
            try await rig.publish([11])
            try await eventually("the first") { tail.output.contains("\"11-0\"") }
            try await rig.publish([12], partition: 1)
            try await eventually("the second") { tail.output.contains("\"12-0\"") }
            tail.child.signal(SIGINT)
            let outcome = await tail.outcome()
            #expect(outcome.exitCode == 130 && outcome.lines.count == 3)
            let counted = try rig.start(
                "freshet",
                ["tail", "orders", "--from", "end", "--follow", "--count", "2", "--format", "ndjson"])
            // From the end means from the moment it looks: until it has, what comes may be too early.
            var number = 100
            try await eventually("it has seen two") {
                try await rig.publish([number])
                number += 1
                return counted.child.ending != nil
            }
            let counting = await counted.outcome()
            #expect(counting.exitCode == 0 && counting.lines.count == 2)
        }
    }

    @Test func `with --follow a server that goes away is waited for, and nothing is missed`() async throws {
        try await Rig.with(LocalRedisServer(appendOnly: true)) { rig in
            try await rig.publish(1...3)
            let tail = try rig.start("freshet", ["tail", "orders", "--follow", "--format", "ndjson"])
            try await eventually("it has begun") { tail.output.contains("\"3-0\"") }
            await rig.server.kill()
            try await eventually("it says that it waits") { tail.errors.contains("trying again") }
            try await rig.server.start()
            try await rig.publish(4...6)
            try await eventually("it goes on") { tail.output.contains("\"6-0\"") }
            tail.child.signal(SIGINT)
            let outcome = await tail.outcome()
            #expect(outcome.exitCode == 130 && outcome.lines.count == 6)
            #expect(outcome.errors.split(separator: "\n").count == 1)
        }
    }
}
