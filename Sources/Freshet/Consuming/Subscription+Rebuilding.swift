package import Hiredis

/// What becomes of an event of the history when records are made anew from it.
package enum RebuildStep: Sendable {
    /// A handler is for it.
    case handle(Delivery, @Sendable () async throws -> Void)
    /// No handler is.
    case passOver(Delivery)
    /// The handler cannot read it.
    case unreadable(FreshetError)
}

extension Subscription {
    /// Whether events of this type have handlers for a rebuild only: what they say is done before they are published, so it counts
    /// as soon as they are, whoever has read them.
    package func isOnlyForRebuild(_ type: EventType) -> Bool { handledKinds[type] == .rebuild }

    /// - Parameters:
    ///   - position: where the event stands in its log.
    ///   - time: when it first stood there, when that is known otherwise.
    package func rebuildStep(
        _ event: Event, partition: Int, position: StreamID, time: Timestamp? = nil, replayID: String
    ) -> RebuildStep {
        var replay = DeliveryReplay(id: replayID, mode: .rebuild, firstAt: position)
        if let time { replay = DeliveryReplay(id: replayID, mode: .rebuild, originalTime: time) }
        let delivery = Delivery(
            event: event, group: group, topic: topic.name, partition: partition, position: position,
            replay: replay)
        guard let handler = handler(forRebuildOf: event.type) else { return .passOver(delivery) }
        guard event.schemaVersion <= handler.newestVersion else {
            return .unreadable(.newer(event, than: handler.newestVersion))
        }
        do throws(FreshetError) {
            switch handler.call {
            case .plain(let handle): return .handle(delivery) { try await handle(delivery) }
            case .decoded(let prepare):
                let handle = try prepare(event)
                return .handle(delivery) { try await handle(delivery) }
            case .batch(let batch):
                let member = BatchCall.Member(payload: try batch.decode(event), delivery: delivery)
                return .handle(delivery) { try await batch.handle([member]) }
            }
        } catch { return .unreadable(error) }
    }
}

extension StreamEntry {
    /// The event of an entry of a log, on which nobody vouches for delivery's own names.
    package func logEvent() throws(FreshetError) -> Event {
        try DecodedFields(fields, entry: id, trusted: false).event
    }
}
