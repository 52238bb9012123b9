internal import Tracing

/// The spans of one topic's events, of a publisher or of a group, by OpenTelemetry's conventions for messaging (1.44): what all
/// of them say is put together once.
///
/// The W3C context travels in the event's `traceparent`, whatever the tracer: it injects and extracts that one key.
final class TopicTracing: Sendable {
    /// What all spans of one kind say.
    private struct Operation: Sendable {
        let name: String
        let kind: SpanKind
        let attributes: [(key: String, value: SpanAttribute)]
    }

    /// Whether what was published in a trace that is not recorded need not be shown to the tracer.
    let followsParents: Bool
    private let tracer: any Tracer
    /// The same, when it is one.
    private let eventTracer: (any EventTracer)?
    private let operations: (publish: Operation, process: Operation, settle: Operation)

    /// Nil without a tracer.
    init?(_ tracer: (any Tracer)?, topic: TopicName, group: GroupName? = nil, consumer: ConsumerName? = nil) {
        guard let tracer else { return nil }
        self.tracer = tracer
        eventTracer = tracer as? any EventTracer
        followsParents = eventTracer?.followsParents ?? false
        func operation(_ name: String, _ type: String, _ kind: SpanKind) -> Operation {
            var attributes: [(key: String, value: SpanAttribute)] = [
                ("messaging.system", "redis"), ("messaging.destination.name", .string(topic.rawValue)),
                ("messaging.operation.name", .string(name)), ("messaging.operation.type", .string(type)),
            ]
            if let group { attributes.append(("messaging.consumer.group.name", .string(group.rawValue))) }
            if let consumer { attributes.append(("messaging.client.id", .string(consumer.rawValue))) }
            return Operation(name: "\(name) \(topic)", kind: kind, attributes: attributes)
        }
        operations = (
            operation("publish", "send", .producer), operation("process", "process", .consumer),
            operation("settle", "settle", .client)
        )
    }

    /// The span of publishing so many events; the one event when it is one.
    func publishSpan(
        in context: ServiceContext, below parent: PublishedTrace, count: Int, of event: Event, partition: Int?
    ) -> any Span {
        let operation = operations.publish
        return start(
            operation, in: context, below: parent,
            about: SpanSubject(operation.attributes, event, of: count, partition: partition))
    }

    /// What the spans of handling so many events are about; the one delivery when it is one.
    func subject(_ delivery: Delivery, of count: Int) -> SpanSubject {
        var subject = SpanSubject(
            operations.process.attributes, delivery.event, of: count, partition: delivery.partition)
        subject.attempt = delivery.attempt
        subject.replayID = delivery.replay?.id
        return subject
    }

    /// The span of a handler's run.
    func processSpan(below parent: PublishedTrace, about subject: SpanSubject) -> any Span {
        start(operations.process, in: .topLevel, below: parent, about: subject)
    }

    /// The span from a handler's end until the server has confirmed what became of the events.
    func settleSpan(in context: ServiceContext, about subject: SpanSubject, as outcome: Outcome) -> any Span {
        var subject = subject
        subject.common = operations.settle.attributes
        subject.outcome = outcome
        return start(operations.settle, in: context, below: .none, about: subject)
    }

    private func start(
        _ operation: Operation, in context: ServiceContext, below parent: PublishedTrace,
        about subject: SpanSubject
    ) -> any Span {
        if let eventTracer {
            return eventTracer.startSpan(
                operation.name, ofKind: operation.kind, below: parent.read, in: context, about: subject)
        }
        let context = parent.isNone ? context : self.context(of: parent.text)
        let span: any Span = tracer.startSpan(operation.name, context: context, ofKind: operation.kind)
        if span.isRecording { span.attributes = subject.attributes }
        return span
    }

    // MARK: - Contexts

    /// The context that a `traceparent` names; an empty one for nil.
    func context(of traceparent: String?) -> ServiceContext {
        var context = ServiceContext.topLevel
        if let traceparent { tracer.extract(traceparent, into: &context, using: TraceparentExtractor()) }
        return context
    }

    /// The trace of what happens in this context.
    func trace(of context: ServiceContext) -> PublishedTrace {
        if let eventTracer { return eventTracer.trace(of: context).map { .known($0) } ?? .none }
        var traceparent: String?
        tracer.inject(context, into: &traceparent, using: TraceparentInjector())
        return PublishedTrace(traceparent)
    }
}

extension Span {
    /// Ends with what went wrong.
    func end(_ error: any Error) {
        if isRecording {
            recordError(error)
            setStatus(SpanStatus(code: .error))
            attributes["error.type"] = (error as? FreshetError)?.code.description ?? "\(type(of: error))"
        }
        end()
    }
}

private struct TraceparentExtractor: Extractor {
    func extract(key: String, from traceparent: String) -> String? {
        key == "traceparent" ? traceparent : nil
    }
}

private struct TraceparentInjector: Injector {
    func inject(_ value: String, forKey key: String, into traceparent: inout String?) {
        if key == "traceparent" { traceparent = value }
    }
}
