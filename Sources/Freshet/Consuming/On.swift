/// A handler for one type of event, in a subscription's list of handlers.
///
/// The event counts as handled when the handler returns. When it throws, the event is delivered again after a
/// pause, until the attempts are used up and it becomes a dead letter. The same event can be delivered more than once:
/// keep effects in records (see FreshetRecords), or make them safe to repeat.
public struct On: Sendable {
    typealias Prepared = @Sendable (Delivery) async throws -> Void

    let type: EventType
    let newestVersion: Int
    /// Decodes the payload; what it returns runs the handler.
    let prepare: @Sendable (Event) throws(FreshetError) -> Prepared

    /// Handles events of this payload's type. Handlers of several events run side by side.
    public init<Payload: EventPayload>(
        _ payload: Payload.Type, handler: @escaping @Sendable (Payload, Delivery) async throws -> Void
    ) {
        type = Payload.eventType
        newestVersion = Payload.schemaVersion
        prepare = { event throws(FreshetError) in
            guard event.contentType == "application/json" || event.contentType.hasSuffix("+json") else {
                throw FreshetError(
                    .invalidEvent, "the media type '\(event.contentType.prefix(60))' is not JSON")
            }
            let payload = try event.decode(Payload.self)
            return { delivery in try await handler(payload, delivery) }
        }
    }
}

/// Collects the handlers of a subscription.
@resultBuilder
public enum HandlerBuilder {
    /// The handlers, one after the other.
    public static func buildBlock(_ handlers: [On]...) -> [On] { handlers.flatMap { $0 } }
    /// One handler.
    public static func buildExpression(_ handler: On) -> [On] { [handler] }
    /// Handlers under a condition.
    public static func buildOptional(_ handlers: [On]?) -> [On] { handlers ?? [] }
    /// Either these handlers ...
    public static func buildEither(first handlers: [On]) -> [On] { handlers }
    /// ... or those.
    public static func buildEither(second handlers: [On]) -> [On] { handlers }
    /// Handlers from a loop.
    public static func buildArray(_ handlers: [[On]]) -> [On] { handlers.flatMap { $0 } }
}

/// A subscription's handlers by event type.
struct HandlerTable: Sendable {
    private let handlers: [EventType: On]

    init(_ list: [On]) {
        handlers = Dictionary(list.map { ($0.type, $0) }) { first, _ in
            preconditionFailure("two handlers for '\(first.type)' in one subscription")
        }
    }

    subscript(type: EventType) -> On? { handlers[type] }
}
