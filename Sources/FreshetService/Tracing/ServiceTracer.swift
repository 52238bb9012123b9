package import Freshet
internal import Synchronization
package import Tracing

/// A tracer that makes spans with W3C contexts, and hands those that are recorded to a queue when they end.
package struct ServiceTracer: EventTracer {
    private let sampler: TraceSampler
    private let queue: SpanQueue
    private let ids = TraceIDs()

    /// A tracer for this queue.
    package init(_ sampler: TraceSampler, to queue: SpanQueue) {
        self.sampler = sampler
        self.queue = queue
    }

    package var followsParents: Bool { if case .parentBased = sampler { true } else { false } }

    package func startSpan<Instant: TracerInstant>(
        _ operationName: String, context: @autoclosure () -> ServiceContext, ofKind kind: SpanKind,
        at instant: @autoclosure () -> Instant, function: String, file fileID: String, line: UInt
    ) -> TraceSpan {
        let context = context()
        return start(
            operationName, ofKind: kind, below: context.trace, in: context,
            at: instant().nanosecondsSinceEpoch)
    }

    package func startSpan(
        _ name: String, ofKind kind: SpanKind, below parent: Traceparent?, in context: ServiceContext,
        about subject: SpanSubject
    ) -> any Tracing.Span {
        let parent = parent ?? context.trace
        return start(
            name, ofKind: kind, below: parent, in: context, at: DefaultTracerClock.now.nanosecondsSinceEpoch,
            about: subject)
    }

    private func start(
        _ name: String, ofKind kind: SpanKind, below parent: Traceparent?, in context: ServiceContext,
        at start: @autoclosure () -> UInt64, about subject: SpanSubject? = nil
    ) -> TraceSpan {
        let traceID = parent?.traceID ?? (ids.next(), ids.next())
        let isSampled = sampler.samples(traceID, below: parent)
        // What is not recorded needs no id of its own.
        if let parent, !isSampled, !parent.isSampled { return TraceSpan(parent, in: context) }
        let own = Traceparent(traceID: traceID, spanID: ids.next(), isSampled: isSampled)
        guard isSampled else { return TraceSpan(own, in: context) }
        let record = SpanRecord(
            name, own, parentID: parent?.spanID, kind: kind, start: start(), about: subject, to: queue)
        return TraceSpan(own, in: context, record)
    }

    package func trace(of context: ServiceContext) -> Traceparent? { context.trace }

    package func startAnySpan<Instant: TracerInstant>(
        _ operationName: String, context: @autoclosure () -> ServiceContext, ofKind kind: SpanKind,
        at instant: @autoclosure () -> Instant, function: String, file fileID: String, line: UInt
    ) -> any Tracing.Span {
        startSpan(
            operationName, context: context(), ofKind: kind, at: instant(), function: function, file: fileID,
            line: line)
    }

    /// Spans leave by themselves.
    package func forceFlush() {}

    package func extract<Carrier, Extract: Extractor>(
        _ carrier: Carrier, into context: inout ServiceContext, using extractor: Extract
    ) where Extract.Carrier == Carrier {
        guard let traceparent = extractor.extract(key: "traceparent", from: carrier),
            let trace = Traceparent(traceparent)
        else { return }
        context.trace = trace
    }

    package func inject<Carrier, Inject: Injector>(
        _ context: ServiceContext, into carrier: inout Carrier, using injector: Inject
    ) where Inject.Carrier == Carrier {
        guard let trace = context.trace else { return }
        injector.inject(trace.text, forKey: "traceparent", into: &carrier)
    }
}

/// Random numbers that are never 0, without a system call for each: a counter from a random start, mixed (SplitMix64).
private final class TraceIDs: Sendable {
    private let counter = Atomic(UInt64.random(in: 0 ... .max))

    func next() -> UInt64 {
        var value = counter.wrappingAdd(0x9e37_79b9_7f4a_7c15, ordering: .relaxed).newValue
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        value ^= value >> 31
        return value == 0 ? 1 : value
    }
}
