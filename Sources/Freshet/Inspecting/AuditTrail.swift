public import Hiredis

/// Who does something, and why: for the audit stream.
public struct Operator: Sendable {
    /// A person or a program.
    public let name: String
    /// In that person's words; empty when nothing was said.
    public let reason: String

    /// This person or program.
    public init(_ name: String, reason: String = "") {
        self.name = name
        self.reason = reason
    }
}

/// One thing that someone has had done by a tool.
public struct AuditRecord: Sendable, Codable {
    /// Where it stands in the audit stream; says when it was.
    public let id: StreamID
    /// What was done: `replay.start`, `replay.rewind`, `dead.retry`.
    public let action: String
    /// Who did it.
    public let by: String
    /// Why, in that person's words.
    public let reason: String
    /// What it was done to.
    public let topic: String
    /// To which group, topic or file.
    public let target: String
    /// The replay that it belongs to.
    public let replay: String
    /// What else there is to know.
    public let details: String
}

extension Broker {
    /// How many records the audit stream keeps.
    private static let auditRecords = 100_000

    /// Adds a record to the stream `<namespace>:audit`.
    public func audit(
        _ action: String, by actor: Operator, topic: TopicName?, target: String, replay: String,
        details: String = ""
    ) async throws(FreshetError) {
        _ = try await send(
            RedisCommand(
                "XADD", namespace.auditKey, "MAXLEN", "~", Self.auditRecords, "*", "action", action, "by",
                actor.name, "reason", actor.reason, "topic", topic?.rawValue ?? "", "target", target,
                "replay",
                replay, "details", details))
    }

    /// The newest records, oldest of them first.
    public func auditRecords(last count: Int) async throws(FreshetError) -> [AuditRecord] {
        guard count > 0 else { return [] }
        return try await send(.xrevrange(namespace.auditKey, count: count)).reversed().map { entry in
            func text(_ name: String) -> String { entry.field(name)?.string ?? "" }
            return AuditRecord(
                id: entry.id, action: text("action"), by: text("by"), reason: text("reason"),
                topic: text("topic"), target: text("target"), replay: text("replay"),
                details: text("details"))
        }
    }
}
