package import Tracing

/// A tracer that takes what a span is about as it stands and puts it into words when it exports the span: any other one gets a
/// dictionary of attributes for each span, and contexts by way of their texts.
package protocol EventTracer: Tracer {
    /// Whether it records nothing below a parent that is not recorded.
    ///
    /// Then a handler of such an event runs in its lane's own context, which says `unrecordedTrace` to whoever asks, instead of in
    /// one that is parsed, made and set for each event, for most of them for nothing: that took 1.5 us where delivering an event takes 2.8
    /// (`bench delivery --with traces --sampled 0.01`).
    var followsParents: Bool { get }

    /// Begins a span in this context, below the span that is named, or else below the context's own.
    func startSpan(
        _ name: String, ofKind kind: SpanKind, below parent: Traceparent?, in context: ServiceContext,
        about subject: SpanSubject
    ) -> any Tracing.Span

    /// The span that this is the context of; nil when it is in no trace.
    func trace(of context: ServiceContext) -> Traceparent?
}

/// What a span of one event or of a batch is about.
package struct SpanSubject: Sendable {
    /// What all spans of the kind say on this topic.
    var common: [(key: String, value: SpanAttribute)]
    /// How many events it is about. More than one are only counted.
    let count: Int
    let messageID: String
    let story: String?
    let partition: Int?
    var attempt = 1
    var replayID: String?
    var outcome: Outcome?

    init(_ common: [(key: String, value: SpanAttribute)], _ event: Event, of count: Int, partition: Int?) {
        self.common = common
        self.count = count
        messageID = event.id
        story = event.correlationID
        self.partition = partition
    }

    /// Calls the body with each attribute, by OpenTelemetry's conventions for messaging (1.44).
    package func forEach(_ body: (_ key: String, _ value: SpanAttribute) -> Void) {
        for (key, value) in common { body(key, value) }
        if count == 1 {
            body("messaging.message.id", .string(messageID))
            if let story { body("messaging.message.conversation_id", .string(story)) }
            if let partition { body("messaging.destination.partition.id", .string("\(partition)")) }
            if attempt > 1 { body("freshet.attempt", .int64(Int64(attempt))) }
            if let replayID { body("freshet.replay.id", .string(replayID)) }
        } else {
            body("messaging.batch.message_count", .int64(Int64(count)))
        }
        if let outcome { body("freshet.outcome", .string(outcome.rawValue)) }
    }

    /// All of them.
    package var attributes: SpanAttributes {
        var attributes: [String: SpanAttribute] = [:]
        attributes.reserveCapacity(12)
        forEach { attributes[$0] = $1 }
        return SpanAttributes(attributes)
    }
}
