import Freshet
import FreshetRecords
import FreshetTesting
import Testing

@Suite struct RebuildingTests {
    /// Live records with the tables of the notes, and empty ones beside them.
    private static func withShadow(
        on store: Store, _ body: (ServiceRecords, Shadow) async throws -> Void
    ) async throws {
        try await Scratch.with(store) { scratch in
            let records = try await ServiceRecords(
                scratch.open(), source: "notes", migrations: Scratch.tables, on: nowhere())
            let shadow = try await Shadow.make(beside: records, for: "notes")
            try await body(records, shadow)
            await shadow.remove()
        }
    }

    private static func note(_ text: String) -> @Sendable (Effects) throws -> Void {
        { effects in
            try effects.lock("note")
            try effects.execute("INSERT INTO notes VALUES (1, $1)", .text(text))
            try effects.publish(Noted(text: text), to: .notes, key: text)
        }
    }

    private static func texts(_ database: any Records) async throws -> [String?] {
        try await database.read {
            try $0.query("SELECT text FROM notes ORDER BY text").map { $0.text("text") }
        }
    }

    @Test(arguments: Store.allCases)
    func `handlers' effects are gathered for one transaction, once for each event, and nothing is published`(
        store: Store
    ) async throws {
        try await Self.withShadow(on: store) { live, shadow in
            _ = try await live.handle(Scratch.delivery("live"), Self.note("live"))
            let line = RebuildLine(shadow.records, source: "notes", keepsEvents: true)
            let own = ServiceRecords(rebuilding: live, by: line, on: nowhere())
            let works = try await line.gather {
                for text in ["a", "b", "a"] {
                    let handled = try await own.handle(Scratch.delivery(text), Self.note(text))
                    #expect(handled == .applied)
                }
            }
            #expect(try await count("notes", in: shadow.records) == 0, "it was only gathered")
            let outcome = try await line.commit(try #require(works), passedOver: [Scratch.delivery("x")])
            #expect(outcome.applied == 2)
            #expect(outcome.said.map(\.causationID) == ["a", "b"])
            let texts = try outcome.said.map { try $0.event?.decode(Noted.self).text }
            #expect(texts == ["a", "b"])
            #expect(try await Self.texts(shadow.records) == ["a", "b"])
            #expect(try await count("outbox", in: shadow.records) == 0)
            #expect(try await count("outbox", in: live.database) == 1)
            #expect(try await Self.texts(live.database) == ["live"])
        }
    }

    @Test(arguments: Store.allCases)
    func `a handler that asks its database is run directly, and sees what came before it`(store: Store)
        async throws
    {
        try await Self.withShadow(on: store) { live, shadow in
            let line = RebuildLine(shadow.records, source: "notes", keepsEvents: false)
            let own = ServiceRecords(rebuilding: live, by: line, on: nowhere())
            @Sendable func handle(_ text: String) async throws {
                let delivery = try Scratch.delivery(text)
                guard try await !own.hasHandled(delivery) else { return }
                let before = try await count("notes", in: own.database)
                _ = try await own.handle(delivery, Self.note("\(text) after \(before)"))
            }
            let works = try await line.gather { for text in ["a", "b"] { try await handle(text) } }
            #expect(works == nil)
            for text in ["a", "b", "a"] { try await handle(text) }
            #expect(try await Self.texts(shadow.records) == ["a after 0", "b after 1"])
            let outcome = line.takeOutcome()
            #expect(
                outcome.applied == 2 && outcome.said.count == 2 && outcome.said.allSatisfy { $0.event == nil }
            )
        }
    }

    @Test(arguments: Store.allCases)
    func `tables are compared by rows, and take each other's place with what came in the last moment`(
        store: Store
    ) async throws {
        try await Self.withShadow(on: store) { live, shadow in
            for text in ["a", "b"] { _ = try await live.handle(Scratch.delivery(text), Self.note(text)) }
            let mark = try await shadow.mark()
            let line = RebuildLine(shadow.records, source: "notes", keepsEvents: true)
            let own = ServiceRecords(rebuilding: live, by: line, on: nowhere())
            for text in ["b", "c"] { _ = try await own.handle(Scratch.delivery(text), Self.note(text)) }
            let compared = try await shadow.compare()
            #expect(compared.map(\.table) == ["notes"])
            #expect(compared[0].live == 2 && compared[0].rebuilt == 2 && compared[0].equal == 1)
            #expect(compared[0].onlyLive == 1 && compared[0].onlyRebuilt == 1 && !compared[0].isEqual)
            #expect(compared[0].examples.map { $0.row["text"] } == ["a", "c"])
            #expect(try await shadow.unmet(before: mark).some.map(\.id) == ["a"])
            #expect(try await shadow.handled(since: mark) == [])
            try await shadow.prepareToReplace()
            _ = try await live.handle(Scratch.delivery("late"), Self.note("late"))
            #expect(try await shadow.handled(since: mark) == [.init(source: "test", id: "late")])
            let said = line.takeOutcome().said
            try await shadow.replace { open in
                line.use(open)
                defer { line.use(nil) }
                let late = try await open.run { try shadow.handled(since: mark, in: $0) }
                for name in late {
                    _ = try await own.handle(Scratch.delivery(name.id), Self.note(name.id))
                }
                return (value: (), publish: Array(said.suffix(1)))
            }
            #expect(try await Self.texts(live.database) == ["b", "c", "late"])
            #expect(try await live.hasHandled(Scratch.delivery("c")), "the inbox was completed")
            #expect(try await live.hasHandled(Scratch.delivery("a")), "and keeps what it had")
            #expect(try await count("outbox", in: live.database) == 4)
            // What was prepared for the old tables goes on with the new ones.
            _ = try await live.handle(Scratch.delivery("next"), Self.note("next"))
            #expect(try await Self.texts(live.database) == ["b", "c", "late", "next"])
        }
    }

    @Test(arguments: Store.allCases)
    func `a replacement that fails changes nothing, and lets others write again`(store: Store) async throws {
        try await Self.withShadow(on: store) { live, shadow in
            _ = try await live.handle(Scratch.delivery("a"), Self.note("a"))
            try await shadow.prepareToReplace()
            await #expect(throws: Refused.self) {
                try await shadow.replace { open -> (value: Void, publish: [FollowUp]) in
                    _ = try await open.run { try $0.query("SELECT 1 AS one") }
                    throw Refused()
                }
            }
            await #expect(throws: (any Error).self) {
                try await shadow.replace { open -> (value: Void, publish: [FollowUp]) in
                    _ = try await open.run { try $0.execute("INSERT INTO nowhere VALUES (1)") }
                    return ((), [])
                }
            }
            _ = try await live.handle(Scratch.delivery("b"), Self.note("b"))
            #expect(try await Self.texts(live.database) == ["a", "b"])
        }
    }

    @Test(arguments: Store.allCases) func `one rebuild at a time, and the next when it has ended`(
        store: Store
    )
        async throws
    {
        try await Self.withShadow(on: store) { live, shadow in
            let error = await #expect(throws: RecordsError.self) {
                _ = try await Shadow.make(beside: live, for: "notes")
            }
            #expect(error?.code == .busy)
            await shadow.remove()
            let next = try await Shadow.make(beside: live, for: "notes")
            await next.remove()
        }
    }

    @Test(arguments: Store.allCases)
    func `a handler that fails in the last transaction leaves nothing, and may be run again in it`(
        store: Store
    ) async throws {
        try await Self.withShadow(on: store) { live, shadow in
            let line = RebuildLine(shadow.records, source: "notes", keepsEvents: false)
            let own = ServiceRecords(rebuilding: live, by: line, on: nowhere())
            try await shadow.prepareToReplace()
            try await shadow.replace { open in
                line.use(open)
                defer { line.use(nil) }
                await #expect(throws: Refused.self) {
                    try await own.handle(Scratch.delivery("a")) {
                        try $0.execute("INSERT INTO notes VALUES (1, 'half')")
                        try $0.enqueue("INSERT INTO notes VALUES (1, 'of it')")
                        throw Refused()
                    }
                }
                for statement in [
                    "INSERT INTO nowhere VALUES (1)", "INSERT INTO notes VALUES (NULL, 'none')",
                ] {
                    await #expect(throws: (any Error).self) {
                        try await own.handle(Scratch.delivery("a")) { try $0.enqueue(statement) }
                    }
                    await #expect(throws: (any Error).self) {
                        _ = try await own.database.read { try $0.query("SELECT 1 FROM nowhere") }
                    }
                }
                for expected in [ServiceRecords.Handled.applied, .duplicate] {
                    let handled = try await own.handle(Scratch.delivery("a"), Self.note("a"))
                    #expect(handled == expected)
                }
                return (value: (), publish: [])
            }
            #expect(try await Self.texts(live.database) == ["a"])
            #expect(line.takeOutcome().applied == 1)
        }
    }
}
