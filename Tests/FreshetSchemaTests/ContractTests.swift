import FoundationEssentials
import Freshet
import FreshetSchema
import ShopEvents
import Testing

private struct Seen: EventPayload {
    static let eventType: EventType = "scan.seen"
    let code: String
}

private struct SeenOtherwise: EventPayload {
    static let eventType: EventType = "scan.seen"
    let code: Int
}

private struct SeenLater: EventPayload {
    static let eventType: EventType = "scan.seen"
    static let schemaVersion = 3
    let code: String
}

extension Topic { fileprivate static let scans = Topic("scans") }

@Suite struct ContractTests {
    @Test func `a contract has the schema of every version`() throws {
        let description = try ServiceContract.shop.described()
        #expect(description.events.map(\.version) == [1, 2])
        #expect(description.events.allSatisfy { $0.type == "order.placed" })
        let customers = description.events.map { $0.schema.json["properties"]?["customer"]?["required"] }
        #expect(customers == [["email", "id", "name"], ["email", "familyName", "givenName", "id"]])
        #expect(description.sends.map(\.version) == [2] && description.receives.isEmpty)
        let again = try ServiceDescription(json: JSONEncoder().encode(description))
        #expect(again == description)
    }

    @Test func `versions with a gap are an error`() {
        let contract = ServiceContract("scanner", sends: [.init(SeenLater.self, on: .scans)])
        let error = #expect(throws: SchemaError.self) { try contract.described() }
        #expect(error?.description.contains("version 2 of 'scan.seen' is missing") == true)
    }

    @Test func `two services that say different things of one event are named`() throws {
        let one = try ServiceContract("scanner", sends: [.init(Seen.self, on: .scans)]).described()
        let other = try ServiceContract("till", receives: [.init(SeenOtherwise.self, on: .scans)]).described()
        let error = #expect(throws: SchemaError.self) { try SystemDescription([one, other]) }
        #expect(error?.code == .conflict)
        #expect(error?.description == "'scanner' and 'till' say different things of 'scan.seen' version 1")
        #expect(throws: SchemaError.self) {
            try ServiceContract(
                "both", receives: [.init(Seen.self, on: .scans), .init(SeenOtherwise.self, on: .scans)]
            ).described()
        }
    }

    @Test func `who is sent a version that it cannot read is said`() throws {
        let sender = try ServiceContract.shop.described()
        let old = try ServiceContract("audit", receives: [.init(OrderPlacedV1.self, on: .orders)]).described()
        let system = try SystemDescription([sender, old])
        #expect(system.unreadable == ["'audit' reads 'order.placed' up to version 1, and is sent version 2."])
        #expect(try SystemDescription([sender, ServiceContract.order.described()]).unreadable.isEmpty)
    }

    @Test(
        arguments: [
            (["orders": ["order.placed": 2, "order.cancelled": 1]], nil),
            (["orders": ["order.placed": .max, "order.cancelled": .max]], nil),
            (["orders": ["order.placed": 2]], "no handler"),
            (["orders": ["order.placed": 1, "order.cancelled": 1]], "version 1"),
            (["orders": ["order.placed": 2, "order.cancelled": 1, "order.overdue": 1]], "'order.overdue'"),
            (["payments": ["order.placed": 2, "order.cancelled": 1]], "no handler"), ([:], "no handler"),
        ] as [([TopicName: [EventType: Int]], String?)])
    func `a contract is held against the handlers`(handled: [TopicName: [EventType: Int]], says: String?) {
        let contract = ServiceContract(
            "audit",
            receives: [.init(OrderPlaced.self, on: .orders), .init(OrderCancelled.self, on: .orders)])
        let difference = contract.difference(from: handled)
        if let says {
            #expect(difference?.contains(says) == true && difference?.contains("'audit'") == true)
        } else {
            #expect(difference == nil)
        }
    }

    @Test func `the AsyncAPI document says who sends and who receives`() throws {
        let system = try SystemDescription(
            [ServiceContract.shop, .order, .payment, .customer].map { try $0.described() })
        let document = system.asyncAPI(title: "The shop")
        #expect(document["info"]?["title"] == "The shop")
        let operations = try #require(document["operations"]?.object)
        #expect(
            operations.keys.sorted() == [
                "customer-receives-orders", "customer-sends-customers", "order-receives-orders",
                "order-receives-payments", "order-sends-orders", "payment-receives-orders",
                "payment-receives-payments", "payment-sends-payments", "shop-sends-orders",
            ])
        #expect(operations["payment-receives-orders"]?["x-freshet-consumer-group"] == "payment")
        // One sends the newest version and reads each.
        let prefix = "#/channels/orders/messages/order-placed-v"
        #expect(operations["shop-sends-orders"]?["messages"] == [["$ref": .string("\(prefix)2")]])
        #expect(
            operations["order-receives-orders"]?["messages"]?.array?.contains(["$ref": .string("\(prefix)1")])
                == true)
        #expect(document.text == system.asyncAPI(title: "The shop").text)
    }

    @Test(arguments: [
        ("order.placed.v2.json", "order.placed", 2), ("a.v1.json", "a", 1), ("a.v3.v1.json", "a.v3", 1),
    ])
    func `a version is read from its file's name`(name: String, type: EventType, version: Int) {
        #expect(EventVersion(fileName: name) == EventVersion(type, version))
        #expect(EventVersion(type, version).fileName == name)
    }

    @Test(arguments: [
        "asyncapi.json", "a.json", "a.v0.json", "a.vx.json", ".v1.json", "a.v1.yaml", "v1.json",
    ])
    func `other files are no versions`(name: String) { #expect(EventVersion(fileName: name) == nil) }
}
