import ArgumentParser
import FoundationEssentials
import Freshet
import FreshetRecords
@testable import FreshetService
import FreshetTesting
import Hiredis
import Logging
import Testing

private struct Noted: EventPayload {
    static let eventType: EventType = "note.taken"
    let text: String
}

private struct Copied: EventPayload {
    static let eventType: EventType = "note.copied"
    let text: String
}

/// A rebuild in this process, of a service whose workers are the test.
@Suite struct RebuildRunTests {
    private static let notes = Topic("notes")
    private static let group: GroupName = "notes"

    /// A service with a table of notes, and a server that is its own.
    private struct Notes: Sendable {
        let worker: Worker
        let client: RedisClient
        let url: String

        func add(
            _ text: String, _ type: EventType = Noted.eventType, causedBy cause: String? = nil,
            at id: String, to topic: String = "notes"
        ) async throws {
            try await client.send(
                RedisCommand(
                    "XADD", "test:events:{\(topic):0}", id, "specversion", "1.0", "id", text, "source",
                    cause == nil ? "test" : "notes", "type", type.rawValue, "partitionkey", "k",
                    "causationid",
                    cause ?? "none", "data", "{\"text\":\"\(text)\"}"))
        }

        /// The group has been given all up to here.
        func give(_ id: String, of topic: String = "notes", isNew: Bool = false) async throws {
            let words = isNew ? ["XGROUP", "CREATE"] : ["XGROUP", "SETID"]
            try await client.send(
                RedisCommand(words[0], words[1], "test:events:{\(topic):0}", "notes", id))
        }

        /// As a worker does it.
        func handle(_ text: String, of topic: TopicName = "notes") async throws {
            let event = try Event(Noted(text: text), source: "test", id: text)
            try await worker.records.handle(
                Delivery(event: event, group: RebuildRunTests.group, topic: topic)
            ) { try RebuildRunTests.note(text, $0) }
        }

        var texts: [String] {
            get async throws {
                try await worker.records.database.read {
                    try $0.query("SELECT text FROM notes ORDER BY number").compactMap { $0.text("text") }
                }
            }
        }
    }

    private static func note(_ text: String, _ effects: Effects) throws {
        try effects.execute(
            "INSERT INTO notes (number, text) SELECT count(*), CAST($1 AS TEXT) FROM notes", .text(text))
    }

    private static func withNotes(
        in url: String? = nil, _ more: [String] = [], _ body: (Notes) async throws -> Void
    ) async throws {
        let folder = "/tmp/freshet-rebuild-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let url = url ?? "sqlite:\(folder)/notes.db"
        try await withRedisServer { server in
            let client = RedisClient(try RedisConfiguration(url: server.url))
            defer { client.close() }
            let broker = Broker(client, namespace: "test")
            let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            let records = try await ServiceRecords(
                RecordsDatabase.open(url: url), source: "notes",
                migrations: [
                    Migration(
                        1, "notes", ["CREATE TABLE notes (number BIGINT NOT NULL, text TEXT NOT NULL)"] + more
                    )
                ], on: broker)
            let environment = ["REDIS_URL": server.url, "DATABASE_URL": url]
            let settings = try WorkerSettings(
                WorkerOptions.parse([]), Settings(file: nil, environment: environment),
                defaults: WorkerDefaults(group: group, namespace: "test"))
            let worker = Worker(settings: settings, broker: broker, records: records, logger: logger)
            try await body(Notes(worker: worker, client: client, url: url))
        }
    }

    @Test func `what a queue or a log may have lost is not published again, and what is missing is`()
        async throws
    {
        try await Self.withNotes { notes in
            let (copies, tasks) = (Topic("copies"), Topic("tasks"))
            // Declared elsewhere: this service sends to it and need not know.
            try await notes.worker.broker.declare(TopicDeclaration(Topic("tasks", kind: .queue)))
            for (number, text) in ["lost", "kept", "missing"].enumerated() {
                try await notes.add(text, at: "\(number + 1)000-0")
                guard text != "missing" else { continue }
                try await notes.add(
                    "copy of \(text)", Copied.eventType, causedBy: text, at: "\(number + 1)001-0",
                    to: "copies")
            }
            try await notes.client.send(RedisCommand("XTRIM", "test:events:{copies:0}", "MAXLEN", "1"))
            try await notes.give("3000-0", isNew: true)
            var options = RebuildOptions()
            options.publishesMissing = true
            let report = try await Rebuild.run(notes.worker, options: options) { worker in
                [
                    worker.subscribe(to: Self.notes) {
                        On(Noted.self, in: worker.records) { noted, effects in
                            try Self.note(noted.text, effects)
                            try effects.publish(Copied(text: noted.text), to: copies, key: "k")
                            if noted.text == "kept" {
                                try effects.publish(Copied(text: noted.text), to: tasks, key: "k")
                            }
                        }
                    }
                ]
            }
            #expect(report.isSwapped && report.gaps.trimmed.isEmpty)
            #expect(report.missing.count == 1 && report.missing.published == 1)
            #expect(report.missing.examples.map(\.causationID) == ["missing"])
            #expect(report.missing.unknown == 2 && report.advice.count == 1)
            let published = try await notes.worker.records.database.read {
                try $0.query("SELECT causation_id FROM outbox").map { $0.text("causation_id") }
            }
            #expect(published == ["missing"])
        }
    }

    @Test func `what is handled late comes in the order of the history, whenever it was met`() async throws {
        try await Self.withNotes { notes in
            try await notes.add("first", at: "1000-0")
            try await notes.add("late", at: "2000-0", to: "others")
            try await notes.add("skipped", at: "3000-0")
            try await notes.give("0", of: "others", isNew: true)
            try await notes.give("1000-0", isNew: true)
            try await notes.client.send(
                RedisCommand(
                    "XREADGROUP", "GROUP", "notes", "c", "STREAMS", "test:events:{notes:0}", ">"))
            let report = try await Rebuild.run(notes.worker) { worker in
                func handler() -> On {
                    On(Noted.self, for: .all) { noted, delivery in
                        if noted.text == "first" {
                            try await notes.handle("skipped")
                            try await notes.handle("late", of: "others")
                            try await notes.give("2000-0", of: "others")
                        }
                        try await worker.records.handle(delivery) { try Self.note(noted.text, $0) }
                    }
                }
                return [
                    worker.subscribe(to: Self.notes) { handler() },
                    worker.subscribe(to: Topic("others")) { handler() },
                ]
            }
            #expect(report.isSwapped && report.events.notHandled == 0 && report.events.caughtUp == 2)
            #expect(try await notes.texts == ["first", "late", "skipped"])
        }
    }

    /// Each event's handler has the next one handled, so that the last one is when nothing but the end is left; then something is in the
    /// way of the new tables until that one has been handled again.
    @Test func `an attempt that could not have the tables leaves nothing behind`() async throws {
        try await withPostgres { postgres in
            try await Self.withNotes(in: postgres.url, ["CREATE SEQUENCE numbers"]) { notes in
                for number in 1...4 { try await notes.add("\(number)", at: "\(number)000-0") }
                try await notes.give("1000-0", isNew: true)
                let (isHeld, isFree, calls) = (Gate(), Gate(), Record<String>())
                let blocker = try RecordsDatabase.open(url: notes.url)
                async let holding: Void = OpenTransaction.with(blocker, didCommit: { true }) { open in
                    repeat {
                        _ = try await open.run { try $0.query("SELECT last_value FROM numbers") }
                        isHeld.open()
                        try await Task.sleep(for: .milliseconds(50))
                    } while !isFree.isOpen
                }
                await isHeld.wait()
                let report = try await Rebuild.run(notes.worker) { worker in
                    [
                        worker.subscribe(to: Self.notes) {
                            On(Noted.self, for: .all) { noted, delivery in
                                calls.add(noted.text)
                                if let number = Int(noted.text), number < 4 {
                                    try await notes.handle("\(number + 1)")
                                    try await notes.give("\(number + 1)000-0")
                                } else if calls.all.filter({ $0 == "4" }).count == 2 {
                                    isFree.open()
                                }
                                try await worker.records.handle(delivery) { try Self.note(noted.text, $0) }
                            }
                        }
                    ]
                }
                isFree.open()
                try await holding
                #expect(report.isSwapped && report.events.applied == 4)
                #expect(try await notes.texts == ["1", "2", "3", "4"])
            }
        }
    }
}
