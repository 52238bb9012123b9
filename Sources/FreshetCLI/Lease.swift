internal import ArgumentParser
internal import FoundationEssentials
internal import Freshet
internal import FreshetService

/// After how long without a sign of life a consumer is dead: what the workers have as `--lease`.
struct LeaseOptions: ParsableArguments {
    @Option(
        help:
            "The workers' lease: a consumer that is silent for longer is dead. [FRESHET_LEASE, default 10s]",
        transform: Self.parsing)
    var lease: Duration?

    /// As the workers take it, in seconds, or with a unit.
    private static func parsing(_ text: String) throws -> Duration {
        if let seconds = Double(text), seconds > 0, seconds < 1e7 { return .seconds(seconds) }
        return try Duration.parsing(text)
    }

    /// - Throws: `badConfiguration` for a variable that is no number of seconds.
    func chosen() throws -> Duration {
        if let lease { return lease }
        guard let text = ProcessInfo.processInfo.environment["FRESHET_LEASE"], !text.isEmpty else {
            return .seconds(10)
        }
        guard let seconds = Double(text), seconds > 0, seconds < 1e7 else {
            throw ToolError(.badConfiguration, "FRESHET_LEASE: '\(text)' is not a number of seconds above 0")
        }
        return .seconds(seconds)
    }
}

/// Which groups are meant; all of the namespace, unless something narrows it.
struct GroupSelection: ParsableArguments {
    @Option(help: "Only this topic.") var topic: TopicName?
    @Option(help: "Only this group.") var group: GroupName?

    /// Says why nothing was found. A name that does not exist is an error; a system without groups is not.
    func explainNothing(_ broker: Broker) async throws {
        if let topic, let group { _ = try await broker.existingTopic(topic, readBy: group) }
        if let topic { _ = try await broker.existingTopic(topic) }
        if let group {
            throw ToolError(.failed, "no group '\(group)' in the namespace '\(broker.namespace)'")
        }
        StandardError.write("There are no groups in the namespace '\(broker.namespace)'.")
    }
}
