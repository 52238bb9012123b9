internal import Freshet

/// Which traces are recorded, as OpenTelemetry's samplers have it.
package enum TraceSampler: Sendable, Hashable {
    case alwaysOn
    case alwaysOff
    /// This part of the traces, by their ids: all services that keep the same part keep the same traces.
    case ratio(Double)
    /// As the parent span; at a root as the other says.
    indirect case parentBased(root: TraceSampler)

    func samples(_ traceID: (high: UInt64, low: UInt64), below parent: Traceparent?) -> Bool {
        switch self {
        case .alwaysOn: true
        case .alwaysOff: false
        case .ratio(let ratio): ratio >= 1 || Double(traceID.low >> 1) < ratio * 0x1p63
        case .parentBased(let root): parent?.isSampled ?? root.samples(traceID, below: nil)
        }
    }
}
