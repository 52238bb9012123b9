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
    private let isRecorded: Bool
    private let delivery: Delivery
    private let count: Int
    private let settling: Guarded<(span: (any Span)?, left: Int)>

    /// - Parameter deliveries: one at least.
    init(_ deliveries: [Delivery], _ tracing: TopicTracing) {
        self.tracing = tracing
        (delivery, count) = (deliveries[0], deliveries.count)
        settling = Guarded((nil, deliveries.count))
        let isOwnTrace = count > 1 || delivery.isReplay || delivery.isLate
        if !isOwnTrace || deliveries.allSatisfy({ $0.event.traceparent?.saysNotSampled ?? false }) {
            let context = tracing.context(of: delivery.event.traceparent)
            span = tracing.processSpan(in: context, count: count, of: delivery)
            isRecorded = span.isRecording
            return
        }
        span = tracing.processSpan(in: .topLevel, count: count, of: delivery)
        isRecorded = span.isRecording
        guard isRecorded else { return }
        for delivery in deliveries {
            guard let traceparent = delivery.event.traceparent else { continue }
            let attributes: SpanAttributes =
                count > 1 ? ["messaging.message.id": .string(delivery.event.id)] : [:]
            span.addLink(SpanLink(context: tracing.context(of: traceparent), attributes: attributes))
        }
    }

    /// Runs the handler in the span.
    func run(_ body: () async throws -> Void, isolation: isolated (any Actor)? = #isolation) async throws {
        do {
            try await ServiceContext.withValue(span.context, operation: body)
            span.end()
        } catch {
            span.end(error)
            throw error
        }
    }

    /// The handler could not be given the event.
    func refused(_ error: FreshetError) { span.end(error) }

    /// Where what follows from the delivery goes on: the events of a batch each with their own trace.
    func traceparent(of event: Event) -> String? {
        if count > 1 || !isRecorded, let own = event.traceparent { return own }
        return tracing.traceparent(of: span.context)
    }

    /// The handler has ended, and settling begins with the first of its events.
    func isSettling(as outcome: Outcome) {
        guard isRecorded else { return }
        settling.withLock { settling in
            guard settling.span == nil else { return }
            settling.span = tracing.settleSpan(in: span.context, count: count, of: delivery, as: outcome)
        }
    }

    /// One of its events is settled; the last one ends the span.
    ///
    /// - Parameter other: what became of it in the end, when that is something else.
    func settled(_ other: Outcome? = nil) {
        guard isRecorded else { return }
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
