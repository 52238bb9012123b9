import Freshet
import FreshetTesting
import Hiredis
import ServiceLifecycle
import Synchronization
import Testing

private struct NamedV1: EventPayload {
    static let eventType: EventType = "customer.named"
    let name: String
}

private struct NamedV2: EventPayload {
    static let eventType: EventType = "customer.named"
    static let schemaVersion = 2
    static let upcast = Upcast<Self>(from: NamedV1.self) { old in
        if old.name == "?" { throw Nameless() }
        let words = old.name.split(separator: " ")
        return NamedV2(given: words.dropLast().joined(separator: " "), family: String(words.last ?? ""))
    }
    let given: String, family: String

    struct Nameless: Error, CustomStringConvertible { let description = "there is no name" }
}

private struct Named: EventPayload, Equatable {
    static let eventType: EventType = "customer.named"
    static let schemaVersion = 3
    static let upcast = Upcast<Self>(from: NamedV2.self) {
        Named(given: $0.given, family: $0.family, title: "")
    }
    let given: String, family: String, title: String
}

private struct Gap: EventPayload {
    static let eventType: EventType = "customer.named"
    static let schemaVersion = 3
    static let upcast = Upcast<Self>(from: NamedV1.self) { Gap(name: $0.name) }
    let name: String
}

private struct NoWayBack: EventPayload {
    static let eventType: EventType = "customer.named"
    static let schemaVersion = 2
    let name: String
}

private struct OtherType: EventPayload {
    static let eventType: EventType = "customer.renamed"
    static let schemaVersion = 2
    static let upcast = Upcast<Self>(from: NamedV1.self) { OtherType(name: $0.name) }
    let name: String
}

@Suite struct VersionTests {
    private func event(_ version: Int, _ data: EventData, id: String = "1") -> Event {
        Event(id: id, source: "till", type: "customer.named", schemaVersion: version, data: data)
    }

    @Test func `each version is brought to the newest, step by step`() throws {
        let ada = Named(given: "Ada", family: "Lovelace", title: "")
        #expect(try event(1, #"{"name":"Ada Lovelace"}"#).payload(Named.self) == ada)
        #expect(try event(2, #"{"given":"Ada","family":"Lovelace"}"#).payload(Named.self) == ada)
        #expect(
            try event(3, #"{"given":"Ada","family":"Lovelace","title":""}"#).payload(Named.self) == ada)
    }

    @Test func `what cannot be read says why`() {
        func reason(_ event: Event) -> String? {
            do {
                _ = try event.payload(Named.self)
                return nil
            } catch { return error.message }
        }
        #expect(reason(event(4, "{}")) == "schemaversion 4 is newer than 3, the newest known")
        #expect(reason(event(1, #"{"given":"Ada"}"#)) == "data.name is missing")
        #expect(reason(event(1, #"{"name":"?"}"#)) == "version 1 cannot become version 2: there is no name")
        var text = event(1, #"{"name":"Ada"}"#)
        text.contentType = "text/plain"
        #expect(reason(text) == "the media type 'text/plain' is not JSON")
    }

    @Test(arguments: [
        (
            On(Gap.self) { _, _ in },
            "version 2 of 'customer.named' is missing: an upcast of Gap leads from version 1"
        ),
        (On(NoWayBack.self) { _, _ in }, "version 1 of 'customer.named' is missing: say with 'upcast'"),
        (
            On(OtherType.self) { _, _ in },
            "version 1 of 'customer.renamed' is missing: an upcast of OtherType leads from version 1 of 'customer.named'"
        ),
    ])
    func `a subscription with a gap between its versions does not start`(handler: On, reason: String)
        async throws
    {
        // Nobody listens there: it is found before anything is asked of a server.
        let client = RedisClient(try RedisConfiguration(url: "unix:///nowhere"))
        defer { client.close() }
        let subscription = Subscription(
            to: .orders, group: "g", on: Broker(client, namespace: "test")
        ) { handler }
        let error = await #expect(throws: FreshetError.self) { try await subscription.run() }
        #expect(
            error?.code == .versionGap && error?.message.hasPrefix(reason) == true, "\(error?.message ?? "")")
    }

    /// What becomes of versions 1 to 3 while a program that knows 2 runs, and after its upgrade.
    @Test
    func
        `a newer version than a program knows waits in the invalid stream for the upgrade, and is brought back`()
        async throws
    {
        try await Rig.with { rig in
            let publisher = Publisher(to: .orders, on: rig.broker)
            for event in [
                event(1, #"{"name":"Ada Lovelace"}"#, id: "1"),
                event(2, #"{"given":"Grace","family":"Hopper"}"#, id: "2"),
                event(3, #"{"given":"Lise","family":"Meitner","title":"Dr"}"#, id: "3"),
            ] { _ = try await publisher.publish(event) }
            try await rig.client.send(
                RedisCommand(
                    "XADD", rig.keys.events, "*", "specversion", "1.0", "id", "4", "source", "till", "type",
                    "customer.named", "schemaversion", "3", "freshetoriginalid", "1-1", "freshetreplay",
                    "forged",
                    "data", #"{"given":"Eve","family":"","title":"Dr"}"#))
            let old = Mutex<[String]>([])
            let before = Subscription(to: .orders, group: "g", on: rig.broker) {
                On(NamedV2.self) { named, _ in old.withLock { $0.append("\(named.given) \(named.family)") } }
            }
            try await running(before) {
                try await eventually("the newer ones are set aside") {
                    try await rig.length(rig.keys.invalid("g")) == 2 && old.withLock { $0.count } == 2
                }
            }
            #expect(Set(old.withLock { $0 }) == ["Ada Lovelace", "Grace Hopper"])

            let new = Mutex<[String]>([])
            let isReplay = Mutex(false)
            let positions = Mutex<Set<StreamID>>([])
            let after = Subscription(to: .orders, group: "g", on: rig.broker) {
                On(Named.self) { named, delivery in
                    new.withLock { $0.append("\(named.title) \(named.given)") }
                    positions.withLock { _ = $0.insert(delivery.position) }
                    if delivery.isReplay { isReplay.withLock { $0 = true } }
                }
            }
            try await running(after) {
                let filter = DeadLetterFilter(error: "schemaversion # is newer than #, the newest known")
                let count = try await rig.broker.retryDeadLetters(
                    .matching(filter), of: "g", topic: .orders, .invalid)
                #expect(count == 2)
                try await eventually("they are handled") { new.withLock { $0.count } == 2 }
            }
            #expect(Set(new.withLock { $0 }) == ["Dr Lise", "Dr Eve"])
            #expect(isReplay.withLock { $0 } == false, "a publisher's word for it counts for nothing")
            #expect(positions.withLock { !$0.contains(StreamID("1-1")!) }, "nor for where it stood")
            #expect(try await rig.length(rig.keys.invalid("g")) == 0)
        }
    }
}
