public import Freshet

/// What every broker must do, as cases that run on any: one in memory, a server, a cluster.
///
///     for promise in Conformance.cases {
///         try await promise.check(on: ConformanceTarget(broker) { try await Task.sleep(for: $0) })
///     }
public struct Conformance: Sendable, CustomStringConvertible {
    /// The promise in words.
    public let description: String
    private let body: @Sendable (ConformanceTarget) async throws -> Void

    init(_ description: String, _ body: @escaping @Sendable (ConformanceTarget) async throws -> Void) {
        self.description = description
        self.body = body
    }

    /// All of them.
    public static let cases: [Conformance] =
        publishing + delivery + failures + order + topics + tools
        + replays

    /// Runs the case. Throws `ConformanceFailure` when the broker does not do as promised, and whatever goes wrong on the way.
    ///
    /// - Parameter target: a broker with a namespace that nothing stands in yet.
    public func check(on target: ConformanceTarget) async throws { try await body(target) }
}

/// Where cases are run.
public struct ConformanceTarget: Sendable {
    /// A broker with a namespace of its own: what publishes and subscribes does it here.
    public let broker: Broker
    /// The same topics, for an operator's looks and work.
    public let operations: Broker
    private let pass: @Sendable (Duration) async throws -> Void

    /// - Parameters:
    ///   - operations: a broker with the same namespace, for what a worker needs no right to do; nil for the same one.
    ///   - pass: lets so much time pass for the broker and its subscriptions.
    public init(
        _ broker: Broker, operations: Broker? = nil,
        passing pass: @escaping @Sendable (Duration) async throws -> Void
    ) {
        self.broker = broker
        self.operations = operations ?? broker
        self.pass = pass
    }

    /// A broker in memory, whose clock is moved.
    public init(_ memory: InMemoryBroker) {
        self.init(memory.broker) { await memory.advance(by: $0) }
    }
}

/// A broker that does not do as promised.
public struct ConformanceFailure: Error, CustomStringConvertible {
    /// What was expected, and where.
    public let description: String
}

// MARK: - What the cases share

struct Noted: EventPayload {
    static let eventType: EventType = "test.noted"
    let name: String
}

struct Hiccup: Error {}

extension Topic {
    static let notes = Topic("notes")
}

extension ConformanceTarget {
    func require(
        _ condition: Bool, _ what: @autoclosure () -> String, file: String = #fileID, line: Int = #line
    ) throws {
        if !condition { throw ConformanceFailure(description: "\(file):\(line): \(what())") }
    }

    /// Lets time pass until the condition holds.
    func eventually(
        _ what: String, within limit: Duration = .seconds(60), _ condition: () async throws -> Bool
    ) async throws {
        let deadline = ContinuousClock.now + limit
        while try await !condition() {
            guard ContinuousClock.now < deadline else {
                throw NotInTime(description: "not in \(limit): \(what)")
            }
            try await pass(.milliseconds(10))
            await Task.yield()
        }
    }

    func elapse(_ duration: Duration) async throws { try await pass(duration) }

    /// Publishes notes with these names, each its own event id and key.
    func note(_ names: [String], key: String? = nil, to topic: Topic = .notes) async throws {
        let events = try names.map {
            try Event(Noted(name: $0), source: "conformance", id: $0, key: key ?? $0)
        }
        for result in try await Publisher(to: topic, on: broker).publish(events) { _ = try result.get() }
    }

    func subscription(
        to topic: Topic = .notes, _ group: GroupName = "a", _ options: SubscriptionOptions = .brisk,
        from start: StartPosition = .earliest,
        _ handler: @escaping @Sendable (Noted, Delivery) async throws -> Void
    ) -> Subscription {
        Subscription(to: topic, group: group, from: start, on: broker, options: options) {
            On(Noted.self, handler: handler)
        }
    }

    func settled(_ group: GroupName = "a", _ topic: Topic = .notes) async throws {
        try await eventually("'\(group)' has settled everything") {
            try await operations.groupReports(topic: topic.name, group: group).first?.isSettled ?? false
        }
    }

    func report(_ group: GroupName = "a", _ topic: Topic = .notes) async throws -> GroupReport {
        var report: GroupReport?
        try await eventually("the group '\(group)' is there") {
            report = try await operations.groupReports(topic: topic.name, group: group).first
            return report != nil
        }
        guard let report else { throw ConformanceFailure(description: "no group '\(group)'") }
        return report
    }

    func deadLetters(_ group: GroupName = "a", _ topic: Topic = .notes) async throws -> [DeadLetter] {
        var letters: [DeadLetter] = []
        for try await letter in operations.deadLetters(of: group, topic: topic) { letters.append(letter) }
        return letters
    }
}

extension SubscriptionOptions {
    /// Short leases and pauses, few slots, no breaker.
    static var brisk: SubscriptionOptions {
        var options = SubscriptionOptions()
        options.concurrency = 8
        options.lease = .seconds(2)
        options.retry.maximumAttempts = 3
        options.retry.base = .milliseconds(10)
        options.retry.ceiling = .milliseconds(50)
        options.breaker.failures = 0
        return options
    }

    func with(_ change: (inout SubscriptionOptions) -> Void) -> SubscriptionOptions {
        var options = self
        change(&options)
        return options
    }
}
