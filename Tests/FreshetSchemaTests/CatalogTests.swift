import Freshet
import FreshetSchema
import ShopEvents
import Testing

private func catalog(_ versions: (EventType, ClosedRange<Int>)...) throws -> EventCatalog {
    var schemas: [EventVersion: JSONSchema] = [:]
    for (type, numbers) in versions {
        for number in numbers { schemas[EventVersion(type, number)] = .string }
    }
    return try EventCatalog(schemas: schemas)
}

private func catalog(_ contracts: ServiceContract...) throws -> EventCatalog {
    let system = try SystemDescription(contracts.map { try $0.described() })
    return try EventCatalog(asyncAPI: system.asyncAPI())
}

private func summary(_ changes: [SchemaChange]) -> [String] {
    changes.map { "\($0.isBreaking ? "breaking" : "compatible") \($0.event) \($0.path): \($0.change)" }
}

@Suite struct CatalogTests {
    @Test func `an event or version that disappears breaks, a new one does not`() throws {
        let old = try catalog(("a", 1...2), ("b", 1...1))
        #expect(old.changes(to: old).isEmpty)
        #expect(
            summary(old.changes(to: try catalog(("a", 1...3), ("b", 1...1), ("c", 1...1))))
                == ["compatible a v3 $: new version", "compatible c $: new event"])
        #expect(summary(old.changes(to: try catalog(("a", 1...2)))) == ["breaking b $: the event is gone"])
        #expect(
            summary(old.changes(to: try catalog(("a", 2...2), ("b", 1...1))))
                == ["breaking a v1 $: the version is gone"])
        #expect(
            summary(old.changes(to: try catalog(("a", 1...1), ("b", 1...1))))
                == ["breaking a v2 $: the version is gone"])
    }

    @Test func `a number that skips breaks`() throws {
        let old = try catalog(("a", 1...2))
        let changes = old.changes(to: try catalog(("a", 1...2), ("a", 4...4), ("b", 2...2)))
        #expect(
            summary(changes) == [
                "breaking a v4 $: it follows version 2", "breaking b v2 $: there is no version 1",
                "compatible a v4 $: new version", "compatible b $: new event",
            ])
        // However far.
        #expect(old.changes(to: try catalog(("a", 1...2), ("a", .max ... .max))).count == 2)
    }

    @Test func `an event that leaves a topic breaks its readers`() throws {
        let billing = Topic("billing")
        func sender(_ topics: Topic...) -> ServiceContract {
            ServiceContract("shop", sends: topics.map { .init(OrderConfirmed.self, on: $0) })
        }
        let reader = ServiceContract("mail", receives: [.init(OrderConfirmed.self, on: .orders)])
        let old = try catalog(sender(.orders), reader)
        #expect(
            summary(old.changes(to: try catalog(sender(billing), reader))) == [
                "breaking order.confirmed topic orders: it is on billing",
                "compatible order.confirmed topic billing: it is on this topic too",
            ])
        #expect(
            summary(old.changes(to: try catalog(reader)))
                == ["breaking order.confirmed topic orders: nobody sends it any more"])
        #expect(old.changes(to: try catalog(sender(.orders, billing), reader)).allSatisfy { !$0.isBreaking })
        // Who stops reading breaks nobody.
        #expect(old.changes(to: try catalog(sender(.orders))).isEmpty)
    }

    @Test func `an AsyncAPI document says as much as its files`() throws {
        let contract = ServiceContract.order
        let files = Dictionary(
            uniqueKeysWithValues: try contract.described().events.map {
                (EventVersion($0.type, $0.version), $0.schema)
            })
        let changes = try catalog(contract).changes(to: try EventCatalog(schemas: files))
        #expect(changes.isEmpty, "\(changes)")
    }

    @Test func `a document by another hand is read: messages in place, references escaped`() throws {
        let document = try json(
            """
            {"asyncapi": "3.0.0", "info": {"title": "t", "version": "1"},
             "channels": {"a/b": {"x-freshet-topic": "a", "messages": {
               "m": {"name": "x.done", "payload": {"schemaFormat": "s", "schema": {"type": "integer"}}}}}},
             "operations": {"o": {"action": "send", "channel": {"$ref": "#/channels/a~1b"}}}}
            """)
        let catalog = try EventCatalog(asyncAPI: document)
        #expect(catalog.schemas == [EventVersion("x.done", 1): JSONSchema(["type": "integer"])])
        #expect(catalog.hasTopics)
    }

    @Test(arguments: [
        (##"{"asyncapi": "2.6.0"}"##, "not an AsyncAPI 3"),
        (##"{"asyncapi": "3.0.0", "channels": {"a": {"messages": {"m": {"$ref": "#/none"}}}}}"##, "'#/none'"),
        (
            ##"{"asyncapi": "3.0.0", "channels": {"a": {"messages": {"m": {"$ref": "x.json#/m"}}}}}"##,
            "another document"
        ),
        (##"{"asyncapi": "3.0.0", "channels": {"a": {"messages": {"m": {}}}}}"##, "no name"),
        (
            ##"{"asyncapi": "3.0.0", "channels": {"a": {"messages": {"m": {"$ref": "#/channels/a/messages/m"}}}}}"##,
            "circle"
        ),
        (##"{"asyncapi": "3.0.0", "operations": {"o": {"action": "send"}}}"##, "no channel"),
    ])
    func `a document that cannot be read is an error`(text: String, says: String) throws {
        let document = try json(text)
        let error = #expect(throws: SchemaError.self) { try EventCatalog(asyncAPI: document) }
        #expect(error?.code == .unreadable && error?.description.contains(says) == true, "\(error as Any)")
    }
}
