/// A handler for one type of event, in a subscription's list of handlers.
///
/// The event counts as handled when the handler returns. When it throws, the event is delivered again after a
/// pause, until the attempts are used up and it becomes a dead letter. The same event can be delivered more than once:
/// keep effects in records (see FreshetRecords), or make them safe to repeat.
///
/// **Rebuilds.** A handler whose effects are all in a service's records (`On(_:in:)` in FreshetRecords) runs
/// when these are made anew from the history. Any other runs then only when it says so (`for:`); a service of
/// which a handler has not said is not rebuilt.
public struct On: Sendable {
    typealias Handle = @Sendable (Delivery) async throws -> Void
    typealias Prepare = @Sendable (Event) throws(FreshetError) -> Handle

    enum Call: Sendable {
        /// With the event as it is.
        case plain(Handle)
        /// With what `Prepare` has decoded.
        case decoded(Prepare)
        /// With several events at a time.
        case batch(BatchCall)
    }

    let type: EventType
    let newestVersion: Int
    /// Which deliveries it is for; nil when it has not said.
    var kinds: DeliveryKinds?
    /// Whether all its effects are in a service's records.
    private(set) var isRecorded = false
    let call: Call
    /// Why events of older versions cannot be read; nil when they can.
    var problem: FreshetError?

    /// Handles events of this payload's type. Handlers of several events run side by side.
    ///
    /// - Parameter kinds: which deliveries it is for; nil for those that come by themselves or are redelivered.
    public init<Payload: EventPayload>(
        _ payload: Payload.Type, for kinds: DeliveryKinds? = nil,
        handler: @escaping @Sendable (Payload, Delivery) async throws -> Void
    ) {
        self.kinds = kinds
        type = Payload.eventType
        newestVersion = Payload.schemaVersion
        call = .decoded { event throws(FreshetError) in
            let payload = try event.payload(Payload.self)
            return { delivery in try await handler(payload, delivery) }
        }
        problem = Payload.versionProblem
    }

    /// Handles events of this type as they are, whatever their media type: `delivery.event.data` has the bytes.
    ///
    /// - Parameters:
    ///   - newestVersion: the newest `schemaversion` that the handler knows; events of a newer one are invalid.
    ///   - kinds: which deliveries it is for; nil for those that come by themselves or are redelivered.
    public init(
        _ type: EventType, newestVersion: Int = .max, for kinds: DeliveryKinds? = nil,
        handler: @escaping @Sendable (Delivery) async throws -> Void
    ) {
        self.kinds = kinds
        self.type = type
        self.newestVersion = newestVersion
        call = .plain(handler)
    }

    init(type: EventType, newestVersion: Int, for kinds: DeliveryKinds?, batch: BatchCall) {
        self.kinds = kinds
        self.type = type
        self.newestVersion = newestVersion
        call = .batch(batch)
    }

    /// The same, for a handler that does nothing but change a service's records.
    package func recorded() -> On {
        var on = self
        on.isRecorded = true
        return on
    }
}

/// Collects the handlers of a subscription.
@resultBuilder
public enum HandlerBuilder {
    /// The handlers, one after the other.
    public static func buildBlock(_ handlers: [On]...) -> [On] { handlers.flatMap { $0 } }
    /// One handler.
    public static func buildExpression(_ handler: On) -> [On] { [handler] }
    /// One handler of batches.
    public static func buildExpression<Payload>(_ handler: OnBatch<Payload>) -> [On] { [handler.on] }
    /// Handlers under a condition.
    public static func buildOptional(_ handlers: [On]?) -> [On] { handlers ?? [] }
    /// Either these handlers ...
    public static func buildEither(first handlers: [On]) -> [On] { handlers }
    /// ... or those.
    public static func buildEither(second handlers: [On]) -> [On] { handlers }
    /// Handlers from a loop.
    public static func buildArray(_ handlers: [[On]]) -> [On] { handlers.flatMap { $0 } }
}

/// A handler as entries refer to it.
final class Handler: Sendable {
    let type: EventType
    let newestVersion: Int
    /// Whether all its effects are in a service's records.
    let isRecorded: Bool
    let call: On.Call

    init(_ on: On) {
        (type, newestVersion, isRecorded, call) = (on.type, on.newestVersion, on.isRecorded, on.call)
    }
}
