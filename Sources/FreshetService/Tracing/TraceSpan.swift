internal import Freshet
internal import Synchronization
package import Tracing

/// A span: its context, and what is recorded of it when its trace is.
package struct TraceSpan: Tracing.Span {
    private let surroundings: ServiceContext
    private let own: TraceContext
    let record: SpanRecord?

    init(_ own: Traceparent, in context: ServiceContext, _ record: SpanRecord? = nil) {
        surroundings = context
        self.own = TraceContext(own)
        self.record = record
    }

    /// The context of what happens in it; made when it is asked for.
    package var context: ServiceContext { surroundings.within(own) }

    package var isRecording: Bool { record?.contents.withLock { !$0.isEnded } ?? false }

    package var operationName: String {
        get { record?.contents.withLock { $0.name } ?? "" }
        nonmutating set { record?.change { $0.name = newValue } }
    }

    package var attributes: SpanAttributes {
        get { record?.contents.withLock { $0.subject?.attributes ?? $0.attributes } ?? [:] }
        nonmutating set { record?.change { ($0.subject, $0.attributes) = (nil, newValue) } }
    }

    package func setStatus(_ status: SpanStatus) { record?.change { $0.status = status } }

    package func addEvent(_ event: SpanEvent) {
        record?.change { contents in
            if contents.events.count < SpanRecord.most {
                contents.events.append(event)
            } else {
                contents.droppedEvents += 1
            }
        }
    }

    package func addLink(_ link: SpanLink) {
        guard link.context.trace != nil else { return }
        record?.change { contents in
            if contents.links.count < SpanRecord.most {
                contents.links.append(link)
            } else {
                contents.droppedLinks += 1
            }
        }
    }

    package func recordError<Instant: TracerInstant>(
        _ error: any Error, attributes: SpanAttributes, at instant: @autoclosure () -> Instant
    ) {
        guard record != nil else { return }
        var all: SpanAttributes = [
            "exception.type": .string("\(type(of: error))"), "exception.message": .string("\(error)"),
        ]
        all.merge(attributes)
        addEvent(SpanEvent(name: "exception", at: instant(), attributes: all))
    }

    package func end<Instant: TracerInstant>(at instant: @autoclosure () -> Instant) {
        record?.end(at: instant().nanosecondsSinceEpoch)
    }
}

/// What is known of a span whose trace is recorded. Once it has ended it does not change any more.
package final class SpanRecord: Sendable {
    struct Contents {
        var name: String
        /// What it is about; nil once there are other attributes.
        var subject: SpanSubject?
        var attributes: SpanAttributes = [:]
        var events: [SpanEvent] = []
        var links: [SpanLink] = []
        var status: SpanStatus?
        var droppedEvents = 0
        var droppedLinks = 0
        var end: UInt64 = 0
        var isEnded: Bool { end > 0 }
    }

    /// A span has so many events, links and attributes at most (OpenTelemetry's own limit); what is more is counted.
    static let most = 128

    let context: Traceparent
    let parentID: UInt64?
    let kind: SpanKind
    /// Nanoseconds since 1970.
    let start: UInt64
    let contents: Mutex<Contents>
    private let queue: SpanQueue

    init(
        _ name: String, _ context: Traceparent, parentID: UInt64?, kind: SpanKind, start: UInt64,
        about subject: SpanSubject?, to queue: SpanQueue
    ) {
        self.context = context
        self.parentID = parentID
        self.kind = kind
        self.start = start
        self.queue = queue
        contents = Mutex(Contents(name: name, subject: subject))
    }

    func change(_ body: (inout Contents) -> Void) {
        contents.withLock { if !$0.isEnded { body(&$0) } }
    }

    func end(at nanoseconds: UInt64) {
        let isFirst = contents.withLock { contents in
            if contents.isEnded { return false }
            // The clock may have been set back meanwhile.
            contents.end = max(start, nanoseconds)
            return true
        }
        if isFirst { queue.add(self) }
    }
}
