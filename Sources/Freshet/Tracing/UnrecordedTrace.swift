package import Tracing

private enum LaneKey: ServiceContextKey {
    typealias Value = HandledNow
}

extension ServiceContext {
    /// The trace, not recorded, of the event that the lane handles, or of the last one of that kind; nil outside of such handlers.
    ///
    /// Only what runs in a handler of such an event has this context, and what it has left behind: a task that it did not wait for
    /// finds the trace of another event when its lane has gone on, also not recorded.
    package var unrecordedTrace: Traceparent? { self[LaneKey.self]?.unrecordedTrace.read }

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
