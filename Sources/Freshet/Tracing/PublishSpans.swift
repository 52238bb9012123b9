internal import Tracing

/// The spans of events that are published together, and the events with the context of theirs.
///
/// Within a span (a handler's, or the program's own) there is one for all of them, its child. Else the events go on with the traces
/// that they come with: an outbox has those of many handlers. One span stands for all events that share a parent.
struct PublishSpans {
    /// As they are to be published.
    private(set) var events: [Event]
    private var spans: [(span: any Span, members: [Int])] = []

    init(_ events: [Event], to topic: Topic, _ tracing: TopicTracing) {
        self.events = events
        let current = ServiceContext.current.flatMap { tracing.trace(of: $0).isNone ? nil : $0 }
        var groups: [(trace: PublishedTrace, members: [Int])] = []
        if current != nil {
            groups = [(.none, Array(events.indices))]
        } else {
            var places: [String?: Int] = [:]
            for index in events.indices {
                let traceparent = events[index].traceparent
                if let place = places[traceparent] {
                    groups[place].members.append(index)
                } else {
                    places[traceparent] = groups.count
                    groups.append((events[index].trace, [index]))
                }
            }
        }
        for (trace, members) in groups {
            let first = events[members[0]]
            let partition = first.partitionKey.map(topic.partition) ?? (topic.partitions == 1 ? 0 : nil)
            let span = tracing.publishSpan(
                in: current ?? .topLevel, below: trace, count: members.count, of: first, partition: partition)
            spans.append((span, members))
            // A trace that is not recorded goes on as it came: another id in it would name nothing.
            if !span.isRecording, !trace.isNone { continue }
            let own = tracing.trace(of: span.context)
            if !own.isNone { for index in members { self.events[index].trace = own } }
        }
    }

    /// Ends the spans with what became of the events, in their order.
    func end<Value>(_ results: [Result<Value, FreshetError>]) {
        for (span, members) in spans {
            let failed = members.lazy.compactMap { index -> FreshetError? in
                if case .failure(let error) = results[index] { error } else { nil }
            }
            if let error = failed.first { span.end(error) } else { span.end() }
        }
    }

    func end(_ error: FreshetError) {
        for (span, _) in spans { span.end(error) }
    }
}
