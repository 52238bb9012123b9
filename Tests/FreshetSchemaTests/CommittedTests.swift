import FoundationEssentials
import Freshet
import FreshetSchema
import ShopEvents
import Testing

/// The schemas in the folder `schemas` are what the programs say, and what they say can be relied on.
@Suite struct CommittedTests {
    @Test func `the committed schemas are what the programs say`() async throws {
        let folder = try Folder()
        let export = try await run(
            "freshet", "schema", "export", try executable("order-worker"), try executable("customer-worker"),
            try executable("payment-worker"), try executable("shop"), "--title", "The shop", "--to",
            folder.path)
        #expect(export.exitCode == 0 && export.errors.isEmpty, "\(export.errors)")
        let check = try await run("freshet", "schema", "check", committedSchemas, folder.path)
        #expect(check.exitCode == 0, "what consumers rely on has changed:\n\(check.output)")
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        #expect(names.count == 11 && names.contains("order.placed.v1.json"))
        #expect(
            export.output.split(separator: "\n").map { String($0) }.sorted()
                == names.map { "\(folder.path)/\($0)" })
        #expect(try FileManager.default.contentsOfDirectory(atPath: committedSchemas).sorted() == names)
        for name in names {
            let isSame = try file("\(folder.path)/\(name)") == file("\(committedSchemas)/\(name)")
            #expect(isSame, "\(name) is not what the programs say: make schemas")
        }
    }

    @Test func `checked against themselves there is nothing to say`() async throws {
        let check = try await run(
            "freshet", "schema", "check", committedSchemas, committedSchemas, "--format", "json")
        #expect(check.exitCode == 0 && check.output == "[]\n")
        #expect(check.errors == "Nothing has changed.\n")
        let document = "\(committedSchemas)/asyncapi.json"
        let single = try await run("freshet", "schema", "check", committedSchemas, document)
        #expect(single.exitCode == 0 && single.errors == "Nothing has changed.\n", "\(single.output)")
    }

    @Test func `an event's data is what its schema says`() throws {
        let order = OrderPlaced(
            orderId: "o-1", customer: .init(id: "c-1", name: "Zoë Ångström", email: "z@example.com"),
            lines: [.init(sku: "cd", quantity: 2, amount: 2933)], currency: "USD", total: 2933,
            paymentToken: "tok_visa", placedAt: "1997-01-01T00:00:00Z", channel: "web")
        try expect(order)
        try expect(
            OrderConfirmed(orderId: "o", customerId: "c", currency: "JPY", total: 1, confirmedAt: "now"))
        try expect(OrderCancelled(orderId: "o", customerId: "c", reason: "r", cancelledAt: "now"))
        try expect(OrderOverdue(orderId: "o", deadline: "now"))
        try expect(CustomerRegistered(customerId: "c", name: "n", email: "e", registeredAt: "now"))
        try expect(
            PaymentCaptured(
                orderId: "o", currency: "USD", amount: 1, providerReference: "p", capturedAt: "now"))
        try expect(PaymentDeclined(orderId: "o", currency: "USD", amount: 1, reason: "r", declinedAt: "now"))
        try expect(RefundRequested(orderId: "o", reason: "r"))
        try expect(
            PaymentRefunded(
                orderId: "o", currency: "USD", amount: 1, providerReference: "p", reason: "r",
                refundedAt: "now"))
    }

    @Test func `data of another shape is not what the schema says`() throws {
        let placed = try committed(EventVersion("order.placed", 2))
        let first = try committed(EventVersion("order.placed", 1))
        let old = try json(
            """
            {"orderId":"o","customer":{"id":"c","name":"n","email":"e"},"lines":[{"sku":"s","quantity":1,"amount":2}],
             "currency":"USD","total":2,"paymentToken":"t","placedAt":"now"}
            """)
        #expect(problems(old, first).isEmpty)
        #expect(
            problems(old, placed) == ["$.channel", "$.customer.familyName", "$.customer.givenName"])
        var wrong = old
        wrong["lines"] = [["sku": 1, "quantity": 1, "amount": 2]]
        #expect(problems(wrong, first) == ["$.lines[0].sku"])
    }

    private func committed(_ version: EventVersion) throws -> JSONValue {
        try json(try file("\(committedSchemas)/\(version.fileName)"))
    }

    private func expect(_ payload: some EventPayload) throws {
        let event = try Event(payload, source: "test")
        let schema = try committed(EventVersion(event.type, event.schemaVersion))
        let data = try json(event.data.string)
        #expect(problems(data, schema).isEmpty)
        // And nothing else.
        #expect(data.object?.keys.sorted() == schema["properties"]?.object?.keys.sorted())
    }

    /// Where data is not as a schema says, as far as derived schemas go.
    private func problems(_ data: JSONValue, _ schema: JSONValue, at path: String = "$") -> [String] {
        switch schema["type"] {
        case "string": return data.string == nil ? [path] : []
        case "integer": return data.integer == nil ? [path] : []
        case "array":
            guard let elements = data.array, let items = schema["items"] else { return [path] }
            return elements.enumerated().flatMap { problems($1, items, at: "\(path)[\($0)]") }
        case "object":
            guard let members = data.object else { return [path] }
            let missing = (schema["required"]?.array ?? []).compactMap(\.string).filter { members[$0] == nil }
            let inside = (schema["properties"]?.object ?? [:]).flatMap { name, schema in
                members[name].map { problems($0, schema, at: "\(path).\(name)") } ?? []
            }
            return (missing.map { "\(path).\($0)" } + inside).sorted()
        default: return [path]
        }
    }
}
