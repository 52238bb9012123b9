internal import Hiredis
internal import Synchronization
internal import Tracing

/// A handler's run, and behind it the settling of what it was given.
///
/// It goes on with the trace in which its event was published, as long as that is news: what a replay brings, and what is older than
/// `latest`, begins a trace of its own with a link to that one. So does a batch, with a link for each event. What was published in a
/// trace that is not recorded is not recorded here either.
final class ProcessSpan: Sendable {
    /// After that an event is handled late: backends look at a trace as over by then. A retry within it belongs to the trace.
    static let latest = Duration.seconds(300)

    private let tracing: TopicTracing
    private let span: any Span
    private let context: ServiceContext
    /// Nil when nothing is recorded.
    private let subject: SpanSubject?
    private let count: Int
    private let settling: Guarded<(span: (any Span)?, left: Int)>

    private init(
        _ span: any Span, in context: ServiceContext, about subject: SpanSubject, _ tracing: TopicTracing
    ) {
        self.span = span
        self.context = context
        count = subject.count
        self.tracing = tracing
        self.subject = span.isRecording ? subject : nil
        settling = Guarded((nil, subject.count))
    }

    /// A handler's run begins, in this context.
    ///
    /// - Parameter others: what it is given beside the first delivery.
    /// - Returns: no span when nothing is recorded and the event says so itself: what follows from it has its context anyway.
    static func begin(
        _ delivery: Delivery, and others: ArraySlice<Delivery> = [], _ tracing: TopicTracing
    )
        -> (context: ServiceContext, span: ProcessSpan?)
    {
        let count = others.count + 1
        var beginsTrace = count > 1 || delivery.isReplay || delivery.isLate
        if beginsTrace, delivery.event.isInUnrecordedTrace {
            beginsTrace = !others.allSatisfy(\.event.isInUnrecordedTrace)
        }
        let subject = tracing.subject(delivery, of: count)
        let span = tracing.processSpan(below: beginsTrace ? .none : delivery.event.trace, about: subject)
        let context = span.context
        if !span.isRecording, count > 1 || !delivery.event.trace.isNone { return (context, nil) }
        if beginsTrace {
            link(span, to: delivery, in: count, tracing)
            for other in others { link(span, to: other, in: count, tracing) }
        }
        return (context, ProcessSpan(span, in: context, about: subject, tracing))
    }

    private static func link(
        _ span: any Span, to delivery: Delivery, in count: Int, _ tracing: TopicTracing
    ) {
        guard span.isRecording, let traceparent = delivery.event.traceparent else { return }
        let attributes: SpanAttributes =
            count > 1 ? ["messaging.message.id": .string(delivery.event.id)] : [:]
        span.addLink(SpanLink(context: tracing.context(of: traceparent), attributes: attributes))
    }

    /// The handler has returned, or thrown, or could not be given the event.
    func end(_ error: (any Error)? = nil) {
        if let error { span.end(error) } else { span.end() }
    }

    /// Where what follows from the delivery goes on: the events of a batch each with their own trace.
    func traceparent(of event: Event) -> String? {
        if count > 1 || subject == nil, let own = event.traceparent { return own }
        return tracing.trace(of: context).text
    }

    /// The handler has ended, and settling begins with the first of its events.
    func isSettling(as outcome: Outcome) {
        guard let subject else { return }
        settling.withLock { settling in
            guard settling.span == nil else { return }
            settling.span = tracing.settleSpan(in: context, about: subject, as: outcome)
        }
    }

    /// One of its events is settled; the last one ends the span.
    ///
    /// - Parameter other: what became of it in the end, when that is something else.
    func settled(_ other: Outcome? = nil) {
        guard subject != nil else { return }
        settling.withLock { settling in
            settling.left -= 1
            if let other { settling.span?.attributes["freshet.outcome"] = other.rawValue }
            if settling.left == 0 { settling.span?.end() }
        }
    }
}

extension Delivery {
    /// Whether it comes so long after its event was published that nobody waits for it as a part of that trace.
    fileprivate var isLate: Bool {
        let latest = Int64(position.milliseconds) + ProcessSpan.latest.components.seconds * 1000
        return position != .zero && Timestamp.now().milliseconds > latest
    }
}
