package import Hiredis

/// The replay that brought a delivery.
public struct DeliveryReplay: Sendable, Hashable {
    /// What a replay is for.
    public enum Mode: String, Sendable, Hashable, Codable, CaseIterable {
        /// Lost work is done again; what was done is skipped.
        case redeliver
        /// The service's records are made anew from the history, with the outside world and the outbox silent.
        case rebuild
    }

    /// Names the replay.
    public let id: String
    /// What it is for.
    public let mode: Mode
    /// When the event first stood in the log, by the server's clock.
    public let originalTime: Timestamp

    /// A replay, for tests of handlers.
    public init(id: String, mode: Mode = .redeliver, originalTime: Timestamp) {
        self.id = id
        self.mode = mode
        self.originalTime = originalTime
    }

    /// - Parameter position: where the entry stands, or first stood, in the log.
    package init(id: String, mode: Mode, firstAt position: StreamID) {
        self.init(
            id: id, mode: mode,
            originalTime: Timestamp(milliseconds: Int64(clamping: position.milliseconds)))
    }
}
