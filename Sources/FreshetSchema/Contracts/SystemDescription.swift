internal import Freshet

/// Several services' contracts put together.
public struct SystemDescription: Sendable {
    /// The services, by name.
    public let services: [ServiceDescription]
    /// Each version of each event that any of them sends or receives.
    public let schemas: [EventVersion: JSONSchema]

    /// Puts contracts together. Throws `conflict`, naming both, when two services say different things of one version, or two
    /// programs of one service.
    public init(_ services: [ServiceDescription]) throws(SchemaError) {
        var known: [GroupName: ServiceDescription] = [:]
        var schemas: [EventVersion: (schema: JSONSchema, service: GroupName)] = [:]
        for service in services {
            if let other = known.updateValue(service, forKey: service.service), other != service {
                throw SchemaError(
                    .conflict, "two programs say different things of the service '\(service.service)'")
            }
            for event in service.events {
                let version = EventVersion(event.type, event.version)
                if let other = schemas[version], other.schema != event.schema {
                    throw SchemaError(
                        .conflict,
                        "'\(other.service)' and '\(service.service)' say different things of \(version)")
                }
                schemas[version] = (event.schema, service.service)
            }
        }
        self.services = known.values.sorted { $0.service < $1.service }
        self.schemas = schemas.mapValues(\.schema)
    }

    /// Who is sent versions that it cannot read yet, in words: such a system works only while it is being replaced.
    public var unreadable: [String] {
        services.flatMap { reader in
            reader.receives.compactMap { received in
                let newest = services.flatMap(\.sends)
                    .filter { $0.type == received.type && $0.topic == received.topic }.map(\.version).max()
                guard let newest, newest > received.version else { return nil }
                return
                    "'\(reader.service)' reads '\(received.type)' up to version \(received.version), and is sent version \(newest)."
            }
        }
    }

    /// Each topic, with the types on it.
    var topics: [TopicName: Set<EventType>] {
        services.flatMap { $0.receives + $0.sends }.reduce(into: [:]) {
            $0[$1.topic, default: []].insert($1.type)
        }
    }

    /// An event's versions, the oldest first.
    func versions(of type: EventType) -> [EventVersion] { schemas.keys.filter { $0.type == type }.sorted() }
}
