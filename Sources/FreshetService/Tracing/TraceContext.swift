package import Freshet
package import Tracing

/// Which trace and span something belongs to. A class: a context's dictionary then holds it as it is.
final class TraceContext: Sendable {
    let trace: Traceparent

    init(_ trace: Traceparent) { self.trace = trace }
}

private enum TraceContextKey: ServiceContextKey {
    typealias Value = TraceContext
}

extension ServiceContext {
    /// The span that this is the context of; nil when it is in no trace.
    package var trace: Traceparent? {
        get { self[TraceContextKey.self]?.trace ?? unrecordedTrace }
        set { self[TraceContextKey.self] = newValue.map(TraceContext.init) }
    }

    /// The context of a span.
    func within(_ span: TraceContext) -> ServiceContext {
        var context = self
        context[TraceContextKey.self] = span
        return context
    }
}
