import FoundationEssentials
import Freshet
import FreshetTesting
import Hiredis
import Testing

/// Something that a user does, from its beginning to its end, in a namespace of its own.
struct AccessStep: Sendable, CustomStringConvertible {
    /// What the step needs.
    enum Place: Sendable { case server, sentinels }

    let description: String
    var place = Place.server
    /// Whether it ends when its task is cancelled. Handlers of some conformance cases wait for what does not come then.
    var endsOnCancellation = true
    let body: @Sendable (Scene) async throws -> Void

    /// Who does it, and where.
    struct Scene: Sendable {
        let guarded: GuardedServer
        let user: String
        let space: Namespace
        let client: RedisClient

        /// With the user's rights.
        var broker: Broker { Broker(client, namespace: space) }
        /// With all rights.
        var operations: Broker { Broker(guarded.admin, namespace: space) }
    }

    /// How it ended, or that the server refused the user something: then it is not waited for.
    struct Outcome {
        let refusals: Set<GuardedServer.Refusal>
        /// Nil when it came to its end.
        let error: String?
    }

    func run(by user: String, in space: Namespace, on guarded: GuardedServer) async throws -> Outcome {
        var configuration = try RedisConfiguration(url: guarded.url(of: user))
        configuration.clientName = "\(space):\(user)"
        let scene = Scene(
            guarded: guarded, user: user, space: space, client: RedisClient(configuration))
        let ending = Record<String?>()
        let doing = Task {
            do {
                try await body(scene)
                ending.add(nil)
            } catch { ending.add("\(error)") }
        }
        defer { scene.client.close() }
        while true {
            let ended = ending.all
            let refusals = try await guarded.refusals(of: user)
            if !refusals.isEmpty || !ended.isEmpty {
                doing.cancel()
                if endsOnCancellation { await doing.value }
                return Outcome(refusals: refusals, error: ended.first ?? "it was refused something")
            }
            try await Task.sleep(for: .milliseconds(50))
        }
    }
}

extension AccessStep {
    /// All that workers do.
    static let ofWorkers: [AccessStep] =
        Conformance.cases.map { promise in
            AccessStep(description: promise.description, endsOnCancellation: false) { scene in
                try await promise.check(
                    on: ConformanceTarget(scene.broker, operations: scene.operations) {
                        try await Task.sleep(for: $0)
                    })
            }
        } + [unknownScript, replicated, bytes, sentinels]

    static let unknownScript = AccessStep(description: "a script that the server does not know is sent to it")
    { scene in
        let script = RedisScript("return 'of \(scene.space)'")
        let reply = try await script.run(on: scene.client, keys: [scene.broker.keys("orders", 0).events])
        guard reply.string == "of \(scene.space)" else { throw Failed(description: "\(reply)") }
    }

    private static let replicated = AccessStep(
        description: "an event is confirmed by replicas, or it is said that it is not"
    ) {
        scene in
        let topic = Topic("notes")
        try await scene.operations.declare(
            TopicDeclaration(topic, durability: .replicated(1, within: .milliseconds(20))))
        let outcome = try await Publisher(to: topic, on: scene.broker).publish([note(1)])[0]
        guard case .failure(let error) = outcome, error.code == .notDurable else {
            throw Failed(description: "there is no replica: \(outcome)")
        }
    }

    private static let bytes = AccessStep(description: "consumers cut off what a topic keeps no bytes for") {
        scene in
        let topic = Topic("notes")
        try await scene.operations.declare(TopicDeclaration(topic, retention: Retention(bytes: 10_000)))
        for outcome in try await Publisher(to: topic, on: scene.broker).publish((0..<1000).map(note)) {
            _ = try outcome.get()
        }
        let subscription = Subscription(to: topic, group: "a", from: .earliest, on: scene.broker) {}
        try await running(subscription) {
            // They look every ten seconds.
            try await eventually("it is cut off") {
                try await scene.operations.groupReports(topic: "notes", group: "a").first.map {
                    $0.length < 500
                }
                    ?? false
            }
        }
    }

    private static let sentinels = AccessStep(
        description: "the primary behind sentinels is found", place: .sentinels
    ) {
        scene in
        try await scene.client.connect(within: .seconds(10))
        try await Publisher(to: Topic("notes"), on: scene.broker).publish(note(1))
    }

    static func note(_ number: Int) -> Event {
        Event(
            id: "\(number)", source: "access", type: "test.noted",
            data: "{\"text\":\"a note of some length\"}")
    }

    struct Failed: Error, CustomStringConvertible { let description: String }
}
