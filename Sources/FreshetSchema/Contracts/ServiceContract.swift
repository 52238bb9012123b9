public import Freshet

/// What a service receives and sends: what others may rely on.
///
///     extension ServiceContract {
///         static let payment = ServiceContract(
///             "payment",
///             receives: [.init(OrderPlaced.self, on: .orders)],
///             sends: [.init(PaymentCaptured.self, on: .payments), .init(PaymentDeclined.self, on: .payments)])
///     }
///
/// Given to `Worker.run` it is held against the service's handlers, and `--describe` prints it with the schema of every version.
public struct ServiceContract: Sendable {
    /// Events of one type on one topic.
    public struct Message: Sendable {
        /// The newest version's payload; its upcasts lead to the others.
        public let payload: any EventPayload.Type
        /// Where it is published.
        public let topic: Topic
        /// For a message that is received: which deliveries of it are handled.
        public let kinds: DeliveryKinds

        /// Events of this payload's type, in all its versions.
        ///
        /// - Parameter kinds: for a message that is received, which deliveries are handled.
        public init(_ payload: any EventPayload.Type, on topic: Topic, for kinds: DeliveryKinds = .all) {
            self.payload = payload
            self.topic = topic
            self.kinds = kinds
        }

        /// What happened.
        public var type: EventType { payload.eventType }
    }

    /// The service; also its consumer group.
    public let service: GroupName
    /// What it has handlers for.
    public let receives: [Message]
    /// What it publishes.
    public let sends: [Message]

    /// A contract.
    public init(_ service: GroupName, receives: [Message] = [], sends: [Message] = []) {
        self.service = service
        self.receives = receives
        self.sends = sends
    }

    /// The contract with the schema of each version of each event. Throws `underivable` for a payload whose versions have a gap or
    /// whose schema does not follow from it.
    public func described() throws(SchemaError) -> ServiceDescription {
        var schemas: [EventVersion: JSONSchema] = [:]
        for message in receives + sends {
            if let problem = message.payload.versionProblem {
                throw SchemaError(.underivable, problem.message)
            }
            for payload in message.payload.versions {
                let version = EventVersion(payload.eventType, payload.schemaVersion)
                let schema = try JSONSchema(document: payload)
                guard schemas.updateValue(schema, forKey: version).map({ $0 == schema }) ?? true else {
                    throw SchemaError(.conflict, "'\(service)' has two payloads for \(version)")
                }
            }
        }
        func rows(_ messages: [Message]) -> [ServiceDescription.Message] {
            Set(
                messages.map { .init(type: $0.type, topic: $0.topic.name, version: $0.payload.schemaVersion) }
            )
            .sorted { ($0.topic, $0.type) < ($1.topic, $1.type) }
        }
        return ServiceDescription(
            service: service, receives: rows(receives), sends: rows(sends),
            events: schemas.sorted { $0.key < $1.key }.map {
                .init(type: $0.key.type, version: $0.key.version, schema: $0.value)
            })
    }
}

extension ServiceContract {
    /// How these handlers differ from what the contract says is received, the first difference in words; nil when they do not.
    ///
    /// - Parameter handled: for each topic the types that have a handler, with the newest version it reads; `Int.max` for one that
    ///   takes any.
    package func difference(from handled: [TopicName: [EventType: Int]]) -> String? {
        for message in receives {
            guard let version = handled[message.topic.name]?[message.type] else {
                return
                    "'\(service)' says that it receives '\(message.type)' on '\(message.topic.name)', and has no handler for it"
            }
            guard version == message.payload.schemaVersion || version == .max else {
                return
                    "'\(service)' says that it receives version \(message.payload.schemaVersion) of '\(message.type)', "
                    + "and its handler is for version \(version)"
            }
        }
        for (topic, types) in handled.sorted(by: { $0.key < $1.key }) {
            for type in types.keys.sorted()
            where !receives.contains(where: { $0.topic.name == topic && $0.type == type }) {
                return
                    "'\(service)' has a handler for '\(type)' on '\(topic)', and does not say that it receives it"
            }
        }
        return nil
    }
}
