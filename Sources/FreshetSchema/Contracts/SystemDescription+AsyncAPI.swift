internal import Freshet

// What AsyncAPI has no word for stands under names that begin with `x-freshet-`.

extension SystemDescription {
    /// The system as an AsyncAPI 3.0 document: a channel a topic, an operation for what a service sends to or receives from it, a message
    /// for each version of an event. The same system is the same text.
    ///
    /// - Parameter title: the system's name; the services' unless said otherwise.
    public func asyncAPI(title: String? = nil) -> JSONValue {
        [
            "asyncapi": "3.0.0",
            "info": [
                "title": .string(title ?? services.map(\.service.rawValue).joined(separator: ", ")),
                "version": "1.0.0",
                "description":
                    "Written by 'freshet schema export'. Each event is a CloudEvents 1.0 record, an entry of a Redis stream with a field an attribute; the payload is the field 'data'.",
            ],
            "defaultContentType": "application/json",
            "channels": .object(
                topics.reduce(into: [:]) { $0[Self.key($1.key.rawValue)] = channel($1.key, $1.value) }),
            "operations": .object(operations),
            "components": [
                "messages": .object(schemas.keys.reduce(into: [:]) { $0[Self.key($1)] = Self.message($1) }),
                "schemas": .object(
                    schemas.reduce(into: [Self.attributesKey: Self.attributes]) {
                        $0[Self.key($1.key)] = $1.value.with("$schema", nil).json
                    }),
            ],
        ]
    }

    private func channel(_ topic: TopicName, _ types: Set<EventType>) -> JSONValue {
        [
            "address": "{namespace}:events:{tag}",
            "title": .string("the topic \(topic)"),
            "parameters": [
                "namespace": ["description": "What every key of the system begins with."],
                "tag": [
                    "description": "The topic and the number of the partition, in the braces of a hash tag.",
                    "examples": [.string("{\(topic):0}")],
                ],
            ],
            "messages": .object(
                types.flatMap(versions).reduce(into: [:]) {
                    $0[Self.key($1)] = Self.reference("components/messages", Self.key($1))
                }),
            "bindings": ["redis": [:]],
            "x-freshet-topic": .string(topic.rawValue),
            "x-freshet-partition-key": "partitionkey",
        ]
    }

    private var operations: [String: JSONValue] {
        var operations: [String: JSONValue] = [:]
        for service in services {
            for (action, messages) in [("receive", service.receives), ("send", service.sends)] {
                for (topic, messages) in Dictionary(grouping: messages, by: \.topic) {
                    let channel = Self.key(topic.rawValue)
                    // One sends the newest version, and reads every one.
                    let versions = messages.flatMap { message in
                        (action == "send" ? message.version...message.version : 1...message.version)
                            .map { EventVersion(message.type, $0) }
                    }
                    var operation: JSONValue = [
                        "action": .string(action),
                        "title": .string("\(service.service) \(action)s \(topic)"),
                        "channel": Self.reference("channels", channel),
                        "messages": .array(
                            versions.sorted().map {
                                Self.reference("channels/\(channel)/messages", Self.key($0))
                            }),
                        "bindings": ["redis": [:]],
                        "x-freshet-service": .string(service.service.rawValue),
                    ]
                    if action == "receive" {
                        operation["x-freshet-consumer-group"] = .string(service.service.rawValue)
                    }
                    operations["\(Self.key(service.service.rawValue))-\(action)s-\(channel)"] = operation
                }
            }
        }
        return operations
    }

    private static func message(_ version: EventVersion) -> JSONValue {
        [
            "name": .string(version.type.rawValue),
            "title": .string("\(version.type) version \(version.version)"),
            "contentType": "application/json",
            "headers": reference("components/schemas", attributesKey),
            "payload": reference("components/schemas", key(version)),
            "correlationId": ["location": "$message.header#/correlationid"],
            "bindings": ["redis": [:]],
            "x-freshet-schemaversion": .integer(Int64(version.version)),
        ]
    }

    private static let attributesKey = "cloudevents"

    private static var attributes: JSONValue {
        let texts = [
            "id", "source", "subject", "partitionkey", "correlationid", "causationid", "traceparent",
        ]
        var properties = Dictionary(uniqueKeysWithValues: texts.map { ($0, JSONSchema.string) })
        properties["specversion"] = JSONSchema.string.with("const", "1.0")
        properties["type"] = JSONSchema.string
        properties["schemaversion"] = JSONSchema.string.with("pattern", "^[1-9][0-9]*$").with("default", "1")
        properties["time"] = JSONSchema.string(format: "date-time")
        properties["datacontenttype"] = JSONSchema.string.with("default", "application/json")
        let required: Set<String> = ["specversion", "id", "source", "type"]
        return JSONSchema.object(properties, optional: Set(properties.keys).subtracting(required))
            .with("title", "CloudEvents 1.0: the entry's fields beside data").json
    }

    private static func reference(_ place: String, _ key: String) -> JSONValue {
        ["$ref": .string("#/\(place)/\(key)")]
    }

    private static func key(_ version: EventVersion) -> String {
        "\(key(version.type.rawValue))-v\(version.version)"
    }

    /// A name without dots, which not every reader of AsyncAPI takes in a key. '-' is doubled, to tell it from a dot.
    private static func key(_ name: String) -> String {
        name.split(separator: "-", omittingEmptySubsequences: false)
            .map { $0.split(separator: ".", omittingEmptySubsequences: false).joined(separator: "-") }
            .joined(separator: "--")
    }
}
