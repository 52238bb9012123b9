internal import Freshet
internal import Synchronization
package import Tracing

/// A tracer that makes spans with W3C contexts, and hands those that are recorded to a queue when they end.
package struct ServiceTracer: FollowingTracer {
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
        var context = context()
        let parent = context.trace
        let traceID = parent?.traceID ?? (ids.next(), ids.next())
        let isSampled = sampler.samples(traceID, under: parent)
        // What is not recorded needs no id of its own.
        if !isSampled, parent?.isSampled == false { return TraceSpan(context: context, record: nil) }
        let own = TraceContext(traceID: traceID, spanID: ids.next(), isSampled: isSampled)
        context.trace = own
        guard isSampled else { return TraceSpan(context: context, record: nil) }
        let record = SpanRecord(
            operationName, own, parentID: parent?.spanID, kind: kind, start: instant().nanosecondsSinceEpoch,
            to: queue)
        return TraceSpan(context: context, record: record)
    }

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
            let trace = TraceContext(traceparent: traceparent)
        else { return }
        context.trace = trace
    }

    package func inject<Carrier, Inject: Injector>(
        _ context: ServiceContext, into carrier: inout Carrier, using injector: Inject
    ) where Inject.Carrier == Carrier {
        guard let trace = context.trace else { return }
        injector.inject(trace.traceparent, forKey: "traceparent", into: &carrier)
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
