import Freshet
import Hiredis
import Testing

@Suite struct PublishTests {
    private func events(_ rig: Rig, partition: Int = 0) async throws -> [Event] {
        var events: [Event] = []
        for try await entry in rig.broker.entries(of: "test:events:{orders:\(partition)}") {
            events.append(try entry.event())
        }
        return events
    }

    @Test func `an event has what was said, and its id is printed`() async throws {
        try await Rig.with { rig in
            let outcome = try await rig.run(
                "freshet", "publish", "orders", "--type", "order.placed", "--key", "k", "--source", "till",
                "--id", "42", "--subject", "o-1", "--schema-version", "3", "--data", #"{"name":"Zoë"}"#)
            #expect(outcome.exitCode == 0 && outcome.output == "42\n" && outcome.errors.isEmpty)
            let event = try await events(rig)[0]
            #expect(event.id == "42" && event.source == "till" && event.type == "order.placed")
            #expect(event.partitionKey == "k" && event.subject == "o-1" && event.schemaVersion == 3)
            #expect(event.data.string == #"{"name":"Zoë"}"# && event.contentType == "application/json")
            let json = try await rig.run(
                "freshet", "publish", "orders", "--type", "t", "--data", "[]", "--format", "json")
            struct Published: Decodable { let id, position: String }
            let published = try json.json(Published.self)
            #expect(try await events(rig)[1].id == published.id)
            #expect(
                try await rig.redis("XRANGE", "test:events:{orders:0}", published.position, "+").array?.count
                    == 1)
        }
    }

    @Test func `a key's partition is that of every other publisher`() async throws {
        try await Rig.with { rig in
            try await rig.redis("HSET", "test:topic:{orders}", "partitions", 4)
            for key in ["a", "b", "c", "o-1", "o-2"] {
                let outcome = try await rig.run(
                    "freshet", "publish", "orders", "--type", "t", "--key", key, "--data", "{}", "--id", key)
                #expect(outcome.exitCode == 0)
                let partition = Topic("orders", partitions: 4).partition(ofKey: key)
                #expect(try await events(rig, partition: partition).last?.id == key)
            }
        }
    }

    @Test func `each line of standard input is an event, in order, whatever ends it`() async throws {
        try await Rig.with { rig in
            let lines = (0..<3000).map {
                "{\"number\":\($0),\"text\":\"\(String(repeating: "ö", count: 50))\"}"
            }
            let outcome = try await rig.run(
                "freshet", "publish", "orders", "--type", "t",
                input: "\u{feff}" + lines.joined(separator: "\r\n") + "\n \n\n[1,2]")
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            let published = try await events(rig)
            #expect(published.map(\.data.string) == lines + ["[1,2]"])
            #expect(published.map(\.id) == outcome.lines.map(String.init))
            let none = try await rig.run(
                "freshet", "publish", "orders", "--type", "t", "--format", "json", input: "")
            #expect(none.exitCode == 0 && none.output == "[]\n")
        }
    }

    @Test func `a line that is no JSON ends it by number, and says what was published before`() async throws {
        try await Rig.with { rig in
            let first = try await rig.run(
                "freshet", "publish", "orders", "--type", "t", input: "\n{\"a\":}\n{}\n")
            #expect(first.exitCode == 65 && first.errors.hasPrefix("freshet: -:2: not JSON: "))
            #expect(try await rig.length("test:events:{orders:0}") == 0)
            let third = try await rig.run(
                "freshet", "publish", "orders", "--type", "t", "--format", "json", input: "{}\n[]\nnope\n{}\n"
            )
            #expect(third.exitCode == 2)
            #expect(third.errors.hasPrefix("freshet: -:3: not JSON"))
            #expect(third.errors.contains("2 events were published before"))
            #expect(
                try third.json([MemberNames].self).map(\.names) == [["id", "position"], ["id", "position"]])
            #expect(try await rig.length("test:events:{orders:0}") == 2)
        }
    }

    @Test func `data is JSON to the letter`() async throws {
        try await Rig.with { rig in
            let good = [
                "{}", "[]", "0", "-1.5e+10", "\"\\u00e9\\n\\/\"", " [ 1 , {\"a\" : null} ] ", "true",
                "[[[[]]]]", "1E400",
            ]
            let bad = [
                " ", "{", "{a:1}", "{\"a\"}", "{\"a\":1,}", "[1,]", "[1 2]", "01", "1.", ".5", "+1", "1e",
                "-",
                "'a'", "\"a", "\"\t\"", "\"\\x\"", "\"\\u12g4\"", "nul", "NaN", "{} {}", "// x",
                String(repeating: "[", count: 100_000),
            ]
            for text in good {
                let outcome = try await rig.run(
                    "freshet", "publish", "orders", "--type", "t", "--data=\(text)")
                #expect(outcome.exitCode == 0, "\(text): \(outcome.errors)")
            }
            for text in bad {
                let outcome = try await rig.run(
                    "freshet", "publish", "orders", "--type", "t", "--data=\(text)")
                #expect(outcome.exitCode == 65, "\(text.prefix(20)): \(outcome.errors)")
            }
            #expect(try await events(rig).map(\.data.string) == good)
            let raw = try await rig.start(
                "freshet", ["publish", "orders", "--type", "t"], input: [0x22, 0xff, 0x22, 0x0a]
            ).outcome()
            #expect(raw.exitCode == 65 && raw.errors.contains("UTF-8"))
        }
    }
}
