package import Tracing

/// A tracer that can say that it records nothing below a parent that is not recorded.
///
/// Then a handler of such an event runs in its lane's own context, which says `unrecordedTraceparent` to whoever asks, instead of in
/// one that is parsed, made and set for each event, for most of them for nothing: that took 1.5 us where delivering an event takes 2.8
/// (`bench delivery --with traces --sampled 0.01`).
package protocol FollowingTracer: Tracer {
    /// Whether it records nothing below a parent that is not recorded.
    var followsParents: Bool { get }
}

private enum LaneKey: ServiceContextKey {
    typealias Value = HandledNow
}

extension ServiceContext {
    /// The trace, not recorded, of the event that the lane handles, or of the last one of that kind; nil outside of such handlers.
    ///
    /// Only what runs in a handler of such an event has this context, and what it has left behind: a task that it did not wait for
    /// finds the trace of another event when its lane has gone on, also not recorded.
    package var unrecordedTraceparent: String? { self[LaneKey.self]?.unrecordedTrace.text }

    /// The context of a lane.
    func of(_ lane: HandledNow) -> ServiceContext {
        var context = self
        context[LaneKey.self] = lane
        return context
    }
}

extension Event {
    /// Whether it was published in a trace that is not recorded.
    var isInUnrecordedTrace: Bool { trace.isUnrecorded }
}
