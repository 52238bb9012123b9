internal import Tracing

/// The spans of one topic's events, of a publisher or of a group, by OpenTelemetry's conventions for messaging (1.44): what all
/// of them say is put together once.
///
/// The W3C context travels in the event's `traceparent`, whatever the tracer: it injects and extracts that one key.
final class TopicTracing: Sendable {
    let tracer: any Tracer
    /// Whether what was published in a trace that is not recorded need not be shown to the tracer.
    let followsParents: Bool
    private let names: (publish: String, process: String, settle: String)
    private let attributes: (publish: SpanAttributes, process: SpanAttributes, settle: SpanAttributes)

    /// Nil without a tracer.
    init?(_ tracer: (any Tracer)?, topic: TopicName, group: GroupName? = nil, consumer: ConsumerName? = nil) {
        guard let tracer else { return nil }
        self.tracer = tracer
        followsParents = (tracer as? any FollowingTracer)?.followsParents ?? false
        names = ("publish \(topic)", "process \(topic)", "settle \(topic)")
        func all(_ name: String, _ type: String) -> SpanAttributes {
            var attributes: [String: SpanAttribute] = [
                "messaging.system": "redis", "messaging.destination.name": .string(topic.rawValue),
                "messaging.operation.name": .string(name), "messaging.operation.type": .string(type),
            ]
            if let group { attributes["messaging.consumer.group.name"] = .string(group.rawValue) }
            if let consumer { attributes["messaging.client.id"] = .string(consumer.rawValue) }
            // With room for those of a span: its copy is then a copy, and nothing is hashed anew.
            attributes.reserveCapacity(12)
            return SpanAttributes(attributes)
        }
        attributes = (all("publish", "send"), all("process", "process"), all("settle", "settle"))
    }

    /// The span of publishing so many events; the one event when it is one.
    func publishSpan(in context: ServiceContext, count: Int, of event: Event, partition: Int?) -> any Span {
        start(names.publish, .producer, in: context) { span in
            var attributes = self.attributes.publish
            attributes.add(event, of: count)
            if count == 1, let partition { attributes["messaging.destination.partition.id"] = "\(partition)" }
            span.attributes = attributes
        }
    }

    /// The span of a handler's run with so many events; the one delivery when it is one.
    func processSpan(in context: ServiceContext, count: Int, of delivery: Delivery) -> any Span {
        start(names.process, .consumer, in: context) { span in
            var attributes = self.attributes.process
            attributes.add(delivery, of: count)
            if count == 1 {
                if delivery.attempt > 1 { attributes["freshet.attempt"] = delivery.attempt }
                if let replay = delivery.replay { attributes["freshet.replay.id"] = replay.id }
            }
            span.attributes = attributes
        }
    }

    /// The span from a handler's end until the server has confirmed what became of the events.
    func settleSpan(in context: ServiceContext, count: Int, of delivery: Delivery, as outcome: Outcome)
        -> any Span
    {
        start(names.settle, .client, in: context) { span in
            var attributes = self.attributes.settle
            attributes.add(delivery, of: count)
            attributes.set("freshet.outcome", value: .string(outcome.rawValue))
            span.attributes = attributes
        }
    }

    private func start(
        _ name: String, _ kind: SpanKind, in context: ServiceContext, _ describe: (any Span) -> Void
    ) -> any Span {
        let span: any Span = tracer.startSpan(name, context: context, ofKind: kind)
        if span.isRecording { describe(span) }
        return span
    }

    // MARK: - Contexts

    /// The context that a `traceparent` names; an empty one for nil.
    func context(of traceparent: String?) -> ServiceContext {
        var context = ServiceContext.topLevel
        if let traceparent { tracer.extract(traceparent, into: &context, using: TraceparentExtractor()) }
        return context
    }

    /// The `traceparent` of what happens in this context; nil when it is in no trace.
    func traceparent(of context: ServiceContext) -> String? {
        var traceparent: String?
        tracer.inject(context, into: &traceparent, using: TraceparentInjector())
        return traceparent
    }
}

extension SpanAttributes {
    fileprivate mutating func add(_ event: Event, of count: Int) {
        if count == 1 {
            set("messaging.message.id", value: .string(event.id))
            if let story = event.correlationID {
                set("messaging.message.conversation_id", value: .string(story))
            }
        } else {
            set("messaging.batch.message_count", value: .int64(Int64(count)))
        }
    }

    fileprivate mutating func add(_ delivery: Delivery, of count: Int) {
        add(delivery.event, of: count)
        if count == 1 {
            set("messaging.destination.partition.id", value: .string("\(delivery.partition)"))
        }
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
