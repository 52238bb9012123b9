internal import Hiredis
public import Logging
internal import Synchronization

/// What a lane handles, for the log lines that are written meanwhile: a task local of the lane's, set before each handler.
///
/// Bound for each delivery it would cost three times as much (95 ns instead of 29, in a loop of nothing else), since each binding
/// is a closure more. So a task that a handler starts and does not wait for is told what its lane does by then.
final class HandledNow: Sendable {
    @TaskLocal static var here: HandledNow?

    private struct State: @unchecked Sendable {  // because only what never changes is read of an entry
        /// Nil for a batch of several, and for nothing.
        var entry: HeldEntry?
        /// The attempt, or the size of the batch; 0 for nothing.
        var number = 0
        var unrecordedTrace = PublishedTrace.none
    }
    private let state = Guarded(State())
    private let topic: TopicName
    private let group: GroupName

    init(_ topic: TopicName, _ group: GroupName) {
        self.topic = topic
        self.group = group
    }

    /// - Parameter number: the attempt, or without an entry the size of the batch; 0 for nothing.
    func set(_ entry: HeldEntry?, _ number: Int) {
        state.withLock { ($0.entry, $0.number) = (entry, number) }
    }

    /// The same for an event whose trace is not recorded, which its handler finds here.
    func set(unrecorded entry: HeldEntry, _ number: Int) {
        state.withLock {
            ($0.entry, $0.number) = (entry, number)
            $0.unrecordedTrace = entry.content.event.trace
        }
    }

    /// See `ServiceContext.unrecordedTrace`.
    var unrecordedTrace: PublishedTrace { state.withLock { $0.unrecordedTrace } }

    var metadata: Logger.Metadata {
        let state = state.withLock { $0 }
        guard state.number > 0 else { return [:] }
        var metadata: Logger.Metadata = ["topic": "\(topic)", "group": "\(group)"]
        guard let entry = state.entry else {
            metadata["batch"] = "\(state.number)"
            return metadata
        }
        metadata.merge(entry.content.event.metadata(attempt: state.number)) { $1 }
        if let replay = entry.content.replayID { metadata["replay"] = "\(replay)" }
        return metadata
    }
}

extension Event {
    /// What log lines say of it.
    func metadata(attempt: Int) -> Logger.Metadata {
        var metadata: Logger.Metadata = ["event_id": "\(id)", "type": "\(type)", "attempt": "\(attempt)"]
        if let correlationID { metadata["correlation_id"] = "\(correlationID)" }
        return metadata
    }
}

extension Logger.MetadataProvider {
    /// Says of each log line that a handler writes which delivery it is about: `event_id`, `correlation_id`, `type`, `topic`,
    /// `group` and `attempt`; for a handler of batches `topic`, `group` and `batch`, the number of its events.
    ///
    /// It knows the handler's task and those that it waits for. It says nothing outside of handlers, nor on threads that are no
    /// task's, such as a database's.
    public static let delivery = Logger.MetadataProvider { HandledNow.here?.metadata ?? [:] }
}
