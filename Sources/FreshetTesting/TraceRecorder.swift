package import InMemoryTracing
package import Tracing

/// A tracer that keeps its spans, with contexts that travel as W3C Trace Context.
package struct TraceRecorder: Tracer {
    /// Where its spans are.
    package let memory: InMemoryTracer

    /// A tracer without spans.
    package init() {
        @Sendable func hexadecimal(_ count: Int) -> String {
            (0..<count).map { _ in String(Int.random(in: 1...15), radix: 16) }.joined()
        }
        memory = InMemoryTracer(
            idGenerator: .init(nextTraceID: { hexadecimal(32) }, nextSpanID: { hexadecimal(16) }))
    }

    /// The spans that have ended and have this name, in that order.
    package func spans(_ name: String) -> [FinishedInMemorySpan] {
        memory.finishedSpans.filter { $0.operationName == name }
    }

    package func startSpan<Instant: TracerInstant>(
        _ operationName: String, context: @autoclosure () -> ServiceContext, ofKind kind: SpanKind,
        at instant: @autoclosure () -> Instant, function: String, file fileID: String, line: UInt
    ) -> InMemorySpan {
        memory.startSpan(
            operationName, context: context(), ofKind: kind, at: instant(), function: function, file: fileID,
            line: line)
    }

    package func startAnySpan<Instant: TracerInstant>(
        _ operationName: String, context: @autoclosure () -> ServiceContext, ofKind kind: SpanKind,
        at instant: @autoclosure () -> Instant, function: String, file fileID: String, line: UInt
    ) -> any Tracing.Span {
        startSpan(
            operationName, context: context(), ofKind: kind, at: instant(), function: function, file: fileID,
            line: line)
    }

    package func forceFlush() {}

    package func extract<Carrier, Extract: Extractor>(
        _ carrier: Carrier, into context: inout ServiceContext, using extractor: Extract
    ) where Extract.Carrier == Carrier {
        let parts = extractor.extract(key: "traceparent", from: carrier)?.split(separator: "-") ?? []
        guard parts.count == 4 else { return }
        context.inMemorySpanContext = InMemorySpanContext(
            traceID: String(parts[1]), spanID: String(parts[2]), parentSpanID: nil)
    }

    package func inject<Carrier, Inject: Injector>(
        _ context: ServiceContext, into carrier: inout Carrier, using injector: Inject
    ) where Inject.Carrier == Carrier {
        guard let span = context.inMemorySpanContext else { return }
        injector.inject("00-\(span.traceID)-\(span.spanID)-01", forKey: "traceparent", into: &carrier)
    }
}

extension FinishedInMemorySpan {
    /// As it travels.
    package var traceparent: String { "00-\(traceID)-\(spanID)-01" }
}
