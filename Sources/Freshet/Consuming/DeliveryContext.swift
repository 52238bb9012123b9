public import Logging

/// What the current task handles, for the log lines that are written meanwhile. It costs nothing to speak of until one is.
struct DeliveryContext: @unchecked Sendable {  // because only what never changes is read of an entry
    @TaskLocal static var current: DeliveryContext?

    let consumer: Consumer
    /// Nil for a batch of several.
    let entry: HeldEntry?
    /// The attempt, or the size of the batch.
    let number: Int

    var metadata: Logger.Metadata {
        var metadata: Logger.Metadata = ["topic": "\(consumer.topic.name)", "group": "\(consumer.group)"]
        guard let entry else {
            metadata["batch"] = "\(number)"
            return metadata
        }
        metadata.merge(Self.metadata(of: entry.content.event, attempt: number)) { $1 }
        if let replay = entry.content.replayID { metadata["replay"] = "\(replay)" }
        return metadata
    }

    static func metadata(of event: Event, attempt: Int) -> Logger.Metadata {
        var metadata: Logger.Metadata = [
            "event_id": "\(event.id)", "type": "\(event.type)", "attempt": "\(attempt)",
        ]
        if let story = event.correlationID { metadata["correlation_id"] = "\(story)" }
        return metadata
    }
}

extension Logger.MetadataProvider {
    /// Says of each log line that a handler writes which delivery it is about: `event_id`, `correlation_id`, `type`, `topic`,
    /// `group` and `attempt`; for a handler of batches `topic`, `group` and `batch`, the number of its events. It says nothing
    /// outside of handlers, and on threads that are not the handler's task, such as a database's.
    public static let delivery = Logger.MetadataProvider { DeliveryContext.current?.metadata ?? [:] }
}
