internal import Hiredis

/// What stood in the log before the group was made.
extension Consumer {
    /// The handler that an event is for; nil when none is.
    ///
    /// - Parameter id: where the entry stands.
    func handler(for content: DecodedFields, at id: StreamID) -> Handler? {
        let kind = DeliveryKinds(content.replayID == nil ? nil : .redeliver)
        guard let handler = handlers[content.event.type, kind] else { return nil }
        return handler.isRecorded || acts(at: content.originalID ?? id) ? handler : nil
    }

    /// Whether handlers may act on what stands there in the log, outside of records.
    private func acts(at position: StreamID) -> Bool {
        switch options.actingFrom {
        case nil, .earliest: true
        case .latest: !isHistory(position)
        case .time(let time): Int64(clamping: position.milliseconds) >= time.milliseconds
        case .id(let id): position >= id
        }
    }

    func isHistory(_ position: StreamID) -> Bool {
        groupMade.map { Int64(clamping: position.milliseconds) < $0.milliseconds } ?? false
    }
}
