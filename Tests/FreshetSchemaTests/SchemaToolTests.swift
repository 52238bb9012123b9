import FoundationEssentials
import Freshet
import FreshetSchema
import Glibc
import Testing

@Suite struct SchemaToolTests {
    private struct Row: Decodable {
        let event, path, change, why, instead: String
        let breaking: Bool
    }

    @Test func `a change that breaks is a row and exit code 1, in each format`() async throws {
        let folder = try Folder()
        let (old, new) = (try folder.copySchemas("old"), try folder.copySchemas("new"))
        let name = "\(new)/payment.captured.v1.json"
        let text = try file(name).replacing("\"int64\"", with: "\"int32\"")
        try text.write(toFile: name, atomically: false, encoding: .utf8)
        let table = try await run("freshet", "schema", "check", old, new)
        #expect(table.exitCode == 1)
        #expect(table.errors == "freshet: 1 of 1 changes break consumers\n")
        #expect(table.output.hasPrefix("EFFECT") && table.output.contains("$.amount"), "\(table.output)")
        let lines = try await run("freshet", "schema", "check", old, new, "--format", "ndjson")
        let row = try JSONDecoder().decode(Row.self, from: Data(lines.output.utf8))
        #expect(
            lines.exitCode == 1 && row.event == "payment.captured v1" && row.path == "$.amount"
                && row.breaking)
        #expect(row.change == "int64 became int32" && row.instead.contains("upcast"))
        #expect(
            try await run("freshet", "schema", "check", old, new, "--format", "json").output.hasPrefix("[\n"))
    }

    @Test func `a change that breaks nobody is a row and exit code 0`() async throws {
        let folder = try Folder()
        let (old, new) = (try folder.copySchemas("old"), try folder.copySchemas("new"))
        try folder.write(#"{"type": "object"}"#, to: "new/parcel.sent.v1.json")
        try folder.write(#"{"type": "object"}"#, to: "new/payment.refunded.v2.json")
        let outcome = try await run("freshet", "schema", "check", old, new, "--format", "json")
        let rows = try JSONDecoder().decode([Row].self, from: Data(outcome.output.utf8))
        #expect(outcome.exitCode == 0 && outcome.errors.isEmpty)
        #expect(
            rows.map(\.event) == ["parcel.sent", "payment.refunded v2"] && rows.allSatisfy { !$0.breaking })
    }

    @Test func `a file that was removed is an event that is gone`() async throws {
        let folder = try Folder()
        let (old, new) = (try folder.copySchemas("old"), try folder.copySchemas("new"))
        try FileManager.default.removeItem(atPath: "\(new)/order.overdue.v1.json")
        let outcome = try await run("freshet", "schema", "check", old, new)
        #expect(outcome.exitCode == 1 && outcome.output.contains("the event is gone"), "\(outcome.output)")
    }

    @Test func `two schemas of one event are compared by themselves`() async throws {
        let folder = try Folder()
        let old = try folder.write(#"{"type": "string"}"#, to: "old.json")
        let new = try folder.write(#"{"type": "integer"}"#, to: "new.json")
        let outcome = try await run("freshet", "schema", "check", old, new, "--format", "ndjson")
        #expect(outcome.exitCode == 1 && outcome.output.contains(#""event":"old.json""#))
    }

    @Test func `what cannot be read is 65, wrong usage 64, in one line that names the file`() async throws {
        let folder = try Folder()
        let good = try folder.copySchemas("good")
        let broken = try folder.copySchemas("broken")
        try folder.write("{\"type\": ", to: "broken/a.v1.json")
        let lost = try folder.copySchemas("lost")
        try folder.write(#"{"asyncapi": "2.0.0"}"#, to: "lost/asyncapi.json")
        try FileManager.default.createDirectory(
            atPath: "\(folder.path)/empty", withIntermediateDirectories: true)
        let list = try folder.write("[]", to: "list.json")
        let cases: [(arguments: [String], code: Int32, says: String)] = [
            ([good, "\(folder.path)/none"], 65, "none"), ([broken, good], 65, "broken/a.v1.json: not JSON"),
            ([good, lost], 65, "lost/asyncapi.json: not an AsyncAPI 3"),
            (["\(folder.path)/empty", good], 65, "empty"),
            ([list, list], 65, "list.json: neither"), ([good], 64, "new"),
            ([good, "\(good)/order.placed.v1.json"], 64, "single event"),
            ([good, good, "--format", "yaml"], 64, "yaml"),
        ]
        for item in cases {
            let outcome = try await run("freshet", ["schema", "check"] + item.arguments)
            #expect(outcome.exitCode == item.code, "\(item): \(outcome.errors)")
            #expect(
                outcome.errors.hasPrefix("freshet: ") && outcome.errors.contains(item.says),
                "\(item): \(outcome.errors)")
            #expect(outcome.errors.split(separator: "\n").count == 1 && outcome.output.isEmpty)
        }
    }

    @Test func `without programs every worker beside the tool is asked, and files of others stay`()
        async throws
    {
        let folder = try Folder()
        try folder.write("mine", to: "notes.txt")
        let outcome = try await run("freshet", "schema", "export", "--to", folder.path)
        #expect(outcome.exitCode == 0, "\(outcome.errors)")
        let document = try json(try file("\(folder.path)/asyncapi.json"))
        #expect(document["info"]?["title"] == "customer, order, payment")
        #expect(try file("\(folder.path)/notes.txt") == "mine")
    }

    @Test func `a program that does not describe itself is an error that names it`() async throws {
        let folder = try Folder()
        let cases = [
            ("/bin/false", "exit code 1"), ("/bin/echo", "not JSON"), ("/bin/none", "No such file"),
            (try executable("replay"), "--describe"),
        ]
        for (program, says) in cases {
            let outcome = try await run("freshet", "schema", "export", program, "--to", "\(folder.path)/new")
            #expect(outcome.exitCode == 1 && outcome.errors.contains(program), "\(outcome.errors)")
            #expect(outcome.errors.contains(says) && outcome.output.isEmpty, "\(outcome.errors)")
        }
        #expect(!FileManager.default.fileExists(atPath: "\(folder.path)/new"), "nothing is written")
    }

    @Test func `two programs that differ are an error that names both services`() async throws {
        let folder = try Folder()
        func program(_ service: String, _ type: String) throws -> String {
            let text = """
                {"service": "\(service)", "receives": [], "sends": [{"type": "a.b", "topic": "t", "version": 1}],
                 "events": [{"type": "a.b", "version": 1, "schema": {"type": "\(type)"}}]}
                """
            let path = try folder.write("#!/bin/sh\ncat <<'E'\n\(text)\nE\n", to: service)
            unsafe chmod(path, 0o755)
            return path
        }
        let outcome = try await run(
            "freshet", "schema", "export", try program("one", "string"), try program("two", "integer"),
            "--to",
            folder.path)
        #expect(outcome.exitCode == 1 && outcome.output.isEmpty)
        #expect(outcome.errors == "freshet: 'one' and 'two' say different things of 'a.b' version 1\n")
    }

    @Test func `a worker describes itself without a server, a database or settings`() async throws {
        let outcome = try await run("payment-worker", "--describe", "--redis-url", "http://nowhere")
        #expect(outcome.exitCode == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
        let description = try ServiceDescription(json: outcome.output.utf8)
        #expect(description.service == "payment" && description.events.contains { $0.type == "order.placed" })
    }

    @Test func `help has examples`() async throws {
        for arguments in [["schema"], ["schema", "export"], ["schema", "check"]] {
            let outcome = try await run("freshet", arguments + ["--help"])
            #expect(
                outcome.exitCode == 0 && outcome.errors.isEmpty
                    && outcome.output.contains("USAGE: freshet schema"))
            if arguments.count == 1 { #expect(outcome.output.contains("Examples:")) }
        }
    }
}
