// Declarations in documents: what `freshet topics apply` reads and `list` prints.

internal import Hiredis

/// Any member's name, so that one that means nothing is an error and not passed over.
private struct Member: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
    init(_ name: String) { stringValue = name }
}

extension KeyedDecodingContainer<Member> {
    fileprivate init(_ decoder: any Decoder, only names: String...) throws {
        self = try decoder.container(keyedBy: Member.self)
        guard let stranger = allKeys.first(where: { !names.contains($0.stringValue) }) else { return }
        throw DecodingError.dataCorruptedError(
            forKey: stranger, in: self,
            debugDescription: "is unknown (there are: \(names.joined(separator: ", ")))")
    }

    fileprivate func value<Value: Decodable>(_ name: String, _ type: Value.Type) throws -> Value? {
        try decodeIfPresent(type, forKey: Member(name))
    }

    /// A whole number from this one.
    fileprivate func number(_ name: String, from least: Int) throws -> Int? {
        guard let number = try value(name, Int.self) else { return nil }
        guard number >= least else { throw fault(name, "\(number) is less than \(least)") }
        return number
    }

    fileprivate func duration(_ name: String) throws -> Duration? {
        guard let text = try value(name, String.self) else { return nil }
        guard let duration = Duration(spelled: text), duration > .zero else {
            throw fault(name, "'\(text)' is no duration: 500ms, 90s, 15m, 2h, 7d")
        }
        return duration
    }

    fileprivate func fault(_ name: String, _ text: String) -> DecodingError {
        .dataCorruptedError(forKey: Member(name), in: self, debugDescription: text)
    }
}

extension TopicDeclaration: Codable {
    /// A declaration in a document. What is not known is an error.
    public init(from decoder: any Decoder) throws {
        let members = try KeyedDecodingContainer<Member>(
            decoder, only: "name", "partitions", "kind", "groups", "retention", "durability", "limit")
        self.init(
            Topic(
                try members.decode(TopicName.self, forKey: Member("name")),
                partitions: try members.number("partitions", from: 1) ?? 1,
                kind: try members.value("kind", TopicKind.self) ?? .log),
            groups: try members.value("groups", [GroupDeclaration].self) ?? [],
            retention: try members.value("retention", Retention.self) ?? Retention(),
            durability: try members.value("durability", Durability.self) ?? .memory,
            limit: try members.number("limit", from: 1))
        if Set(groups.map(\.name)).count < groups.count {
            throw members.fault("groups", "two have the same name")
        }
        if topic.kind == .queue, groups.count > 1 { throw members.fault("groups", "a queue has one group") }
    }

    /// As it is read again.
    public func encode(to encoder: any Encoder) throws {
        var members = encoder.container(keyedBy: Member.self)
        try members.encode(topic.name, forKey: Member("name"))
        try members.encode(topic.partitions, forKey: Member("partitions"))
        try members.encode(topic.kind, forKey: Member("kind"))
        try members.encode(groups, forKey: Member("groups"))
        if retention != Retention() { try members.encode(retention, forKey: Member("retention")) }
        try members.encode(durability, forKey: Member("durability"))
        try members.encodeIfPresent(limit, forKey: Member("limit"))
    }
}

extension GroupDeclaration: Codable {
    /// A group in a document.
    public init(from decoder: any Decoder) throws {
        let members = try KeyedDecodingContainer<Member>(decoder, only: "name", "start", "ordering")
        self.init(
            try members.decode(GroupName.self, forKey: Member("name")),
            ordering: try members.value("ordering", Ordering.self))
        if let text = try members.value("start", String.self) {
            guard let start = StartPosition(text) else {
                throw members.fault(
                    "start", "'\(text)' is none of earliest, latest, an RFC 3339 time, a stream id")
            }
            self.start = start
        }
    }

    /// As it is read again.
    public func encode(to encoder: any Encoder) throws {
        var members = encoder.container(keyedBy: Member.self)
        try members.encode(name, forKey: Member("name"))
        try members.encode(start.description, forKey: Member("start"))
        try members.encodeIfPresent(ordering, forKey: Member("ordering"))
    }
}

extension Retention: Codable {
    /// A retention in a document.
    public init(from decoder: any Decoder) throws {
        let members = try KeyedDecodingContainer<Member>(decoder, only: "age", "count", "bytes", "archived")
        self.init(
            age: try members.duration("age"), count: try members.number("count", from: 0),
            bytes: try members.number("bytes", from: 0),
            archivedOnly: try members.value("archived", Bool.self) ?? false)
    }

    /// As it is read again.
    public func encode(to encoder: any Encoder) throws {
        var members = encoder.container(keyedBy: Member.self)
        try members.encodeIfPresent(age?.spelled, forKey: Member("age"))
        try members.encodeIfPresent(count, forKey: Member("count"))
        try members.encodeIfPresent(bytes, forKey: Member("bytes"))
        if archivedOnly { try members.encode(true, forKey: Member("archived")) }
    }
}

extension Durability: Codable, CustomStringConvertible {
    /// A durability in a document: `"memory"`, `{"replicated": 1, "within": "500ms"}` or `{"fsynced": true, "within": "1s"}`.
    public init(from decoder: any Decoder) throws {
        if let word = try? decoder.singleValueContainer().decode(String.self) {
            guard word == "memory" else {
                throw DecodingError.dataCorrupted(
                    .init(codingPath: decoder.codingPath, debugDescription: "'\(word)' is not memory"))
            }
            self = .memory
            return
        }
        let members = try KeyedDecodingContainer<Member>(decoder, only: "replicated", "fsynced", "within")
        guard let within = try members.duration("within") else { throw members.fault("within", "is missing") }
        if let replicas = try members.number("replicated", from: 1) {
            self = .replicated(replicas, within: within)
        } else if try members.value("fsynced", Bool.self) == true {
            self = .fsynced(within: within)
        } else {
            throw members.fault("replicated", "is missing, or fsynced")
        }
    }

    /// As it is read again.
    public func encode(to encoder: any Encoder) throws {
        switch self {
        case .memory:
            var value = encoder.singleValueContainer()
            try value.encode("memory")
        case .replicated(let replicas, let within):
            var members = encoder.container(keyedBy: Member.self)
            try members.encode(replicas, forKey: Member("replicated"))
            try members.encode(within.spelled, forKey: Member("within"))
        case .fsynced(let within):
            var members = encoder.container(keyedBy: Member.self)
            try members.encode(true, forKey: Member("fsynced"))
            try members.encode(within.spelled, forKey: Member("within"))
        }
    }

    /// As it stands in the topic's hash.
    public var description: String {
        switch self {
        case .memory: "memory"
        case .replicated(let replicas, let within): "replicated \(replicas) within \(within.spelled)"
        case .fsynced(let within): "fsynced within \(within.spelled)"
        }
    }

    /// Of a description.
    init?(_ text: String) {
        let words = text.split(separator: " ").map(String.init)
        switch words.first {
        case "memory" where words.count == 1: self = .memory
        case "replicated" where words.count == 4:
            guard let replicas = Int(words[1]), let within = Duration(spelled: words[3]) else { return nil }
            self = .replicated(replicas, within: within)
        case "fsynced" where words.count == 3:
            guard let within = Duration(spelled: words[2]) else { return nil }
            self = .fsynced(within: within)
        default: return nil
        }
    }
}

extension StartPosition: CustomStringConvertible {
    /// `earliest`, `latest`, an RFC 3339 time or a stream id; nil when it is none of them.
    public init?(_ text: String) {
        if text == "earliest" {
            self = .earliest
        } else if text == "latest" {
            self = .latest
        } else if let time = Timestamp(text) {
            self = .time(time)
        } else if text.contains("-"), let id = StreamID(text) {
            self = .id(id)
        } else {
            return nil
        }
    }

    /// As it is read again.
    public var description: String {
        switch self {
        case .earliest: "earliest"
        case .latest: "latest"
        case .time(let time): time.description
        case .id(let id): id.description
        }
    }
}

extension TopicDeclaration {
    private struct File: Decodable {
        let topics: [TopicDeclaration]

        init(from decoder: any Decoder) throws {
            if let list = try? decoder.unkeyedContainer(), list.count != nil {
                topics = try [TopicDeclaration](from: decoder)
            } else {
                let members = try KeyedDecodingContainer<Member>(decoder, only: "topics")
                topics = try members.decode([TopicDeclaration].self, forKey: Member("topics"))
            }
        }
    }

    /// Declarations in a document: a list, or an object with one as `topics`. Errors say where.
    package static func list(json: [UInt8]) throws(FreshetError) -> [TopicDeclaration] {
        let topics = try JSON.decode(File.self, from: EventData(json)).topics
        for (index, topic) in topics.enumerated()
        where topics[..<index].contains(where: { $0.topic.name == topic.topic.name }) {
            throw FreshetError(.invalidData, "'\(topic.topic.name)' is there twice")
        }
        return topics
    }
}
