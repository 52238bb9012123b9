import Freshet
import ShopEvents
import Testing

@Suite struct PayloadTests {
    @Test func `an order placed travels under the documented names`() throws {
        let order = OrderPlaced(
            orderId: "o-1", customer: .init(id: "c-1", name: "Zoë Ångström", email: "zoe@example.com"),
            lines: [
                .init(sku: "cd", quantity: 2, amount: 2933),
                .init(sku: "a/b", quantity: 1, amount: 9_007_199_254_740_993),
            ],
            currency: "USD", total: 9_007_199_254_743_926, paymentToken: "tok_visa",
            placedAt: "1997-01-01T00:00:00Z", channel: "web")
        try expect(
            order, "order.placed", version: 2,
            #"{"channel":"web","currency":"USD","customer":{"email":"zoe@example.com","familyName":"Ångström","#
                + #""givenName":"Zoë","id":"c-1"},"lines":[{"amount":2933,"quantity":2,"sku":"cd"},"#
                + #"{"amount":9007199254740993,"quantity":1,"sku":"a/b"}],"orderId":"o-1","#
                + #""paymentToken":"tok_visa","placedAt":"1997-01-01T00:00:00Z","total":9007199254743926}"#)
    }

    @Test func `an order placed in version 1 is read as one of version 2`() throws {
        let event = Event(
            source: "till", type: "order.placed",
            data: """
                {"currency":"USD","customer":{"email":"z@example.com","id":"c-1","name":"Zoë M. Ångström"},"lines":[],\
                "orderId":"o-1","paymentToken":"tok_visa","placedAt":"1997-01-01T00:00:00Z","total":0}
                """)
        let order = try event.payload(OrderPlaced.self)
        #expect((order.channel, order.orderId, order.paymentToken) == ("unknown", "o-1", "tok_visa"))
        #expect((order.customer.givenName, order.customer.familyName) == ("Zoë M.", "Ångström"))
        #expect(order.customer.name == "Zoë M. Ångström")
        #expect(OrderPlaced.Customer(id: "c", name: "Prince", email: "").name == "Prince")
    }

    @Test func `placing an order twice is one event`() {
        var order = OrderPlaced(
            orderId: "o-1", customer: .init(id: "c", name: "", email: ""), lines: [], currency: "USD",
            total: 0,
            paymentToken: "t", placedAt: "1997-01-01T00:00:00Z", channel: "web")
        #expect(order.eventID == "order.placed:o-1")
        order.total = 5
        order.placedAt = "1998-01-01T00:00:00Z"
        #expect(order.eventID == "order.placed:o-1")
    }

    @Test func `what becomes of an order travels under the documented names`() throws {
        try expect(
            OrderConfirmed(
                orderId: "o-1", customerId: "c-1", currency: "JPY", total: 120,
                confirmedAt: "1997-01-01T00:00:01.000Z"),
            "order.confirmed",
            #"{"confirmedAt":"1997-01-01T00:00:01.000Z","currency":"JPY","customerId":"c-1","#
                + #""orderId":"o-1","total":120}"#
        )
        try expect(
            OrderCancelled(
                orderId: "o-1", customerId: "c-1", reason: "card declined",
                cancelledAt: "1997-01-01T00:00:01.000Z"),
            "order.cancelled",
            #"{"cancelledAt":"1997-01-01T00:00:01.000Z","customerId":"c-1","#
                + #""orderId":"o-1","reason":"card declined"}"#
        )
    }

    @Test func `a customer registered travels under the documented names`() throws {
        try expect(
            CustomerRegistered(
                customerId: "c-1", name: "李雷", email: "li@example.com",
                registeredAt: "1997-01-01T00:00:01.000Z"),
            "customer.registered",
            #"{"customerId":"c-1","email":"li@example.com","name":"李雷","#
                + #""registeredAt":"1997-01-01T00:00:01.000Z"}"#
        )
    }

    @Test func `what becomes of a payment travels under the documented names`() throws {
        try expect(
            PaymentCaptured(
                orderId: "o-1", currency: "USD", amount: 2933, providerReference: "ch_1",
                capturedAt: "1997-01-01T00:00:01.000Z"),
            "payment.captured",
            #"{"amount":2933,"capturedAt":"1997-01-01T00:00:01.000Z","currency":"USD","orderId":"o-1","#
                + #""providerReference":"ch_1"}"#)
        try expect(
            PaymentDeclined(
                orderId: "o-1", currency: "USD", amount: 2933, reason: "insufficient funds",
                declinedAt: "1997-01-01T00:00:01.000Z"),
            "payment.declined",
            #"{"amount":2933,"currency":"USD","declinedAt":"1997-01-01T00:00:01.000Z","orderId":"o-1","#
                + #""reason":"insufficient funds"}"#)
    }

    @Test func `the topics and the namespace have the names that other programs know`() {
        #expect([Topic.orders, .customers, .payments].map(\.name) == ["orders", "customers", "payments"])
        #expect(Namespace.shop == "shop")
    }

    private func expect<Payload: EventPayload & Equatable>(
        _ payload: Payload, _ type: EventType, version: Int = 1, _ json: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let event = try Event(payload, source: "test")
        #expect(event.type == type, sourceLocation: sourceLocation)
        #expect(event.schemaVersion == version, sourceLocation: sourceLocation)
        #expect(event.data.string == json, sourceLocation: sourceLocation)
        #expect(try event.payload(Payload.self) == payload, sourceLocation: sourceLocation)
    }
}
