internal import Freshet
internal import Tracing

/// Which trace and span something belongs to, as W3C Trace Context has it. A class: a context's dictionary then holds it as it is.
package final class TraceContext: Sendable {
    /// The id of the trace.
    package let traceID: (high: UInt64, low: UInt64)
    /// The id of the span.
    package let spanID: UInt64
    /// Whether the trace is recorded.
    package let isSampled: Bool

    init(traceID: (high: UInt64, low: UInt64), spanID: UInt64, isSampled: Bool) {
        self.traceID = traceID
        self.spanID = spanID
        self.isSampled = isSampled
    }

    /// Of a `traceparent`; nil when it is none. Of a newer version what version 00 has is read.
    package convenience init?(traceparent: String) {
        guard let read = Traceparent(traceparent) else { return nil }
        self.init(traceID: read.traceID, spanID: read.spanID, isSampled: read.isSampled)
    }

    /// As it travels.
    package var traceparent: String {
        Traceparent(traceID: traceID, spanID: spanID, isSampled: isSampled).text
    }
}

private enum TraceContextKey: ServiceContextKey {
    typealias Value = TraceContext
}

extension ServiceContext {
    /// The span that this is the context of; nil when it is in no trace.
    package var trace: TraceContext? {
        get { self[TraceContextKey.self] ?? unrecordedTraceparent.flatMap(TraceContext.init(traceparent:)) }
        set { self[TraceContextKey.self] = newValue }
    }
}
