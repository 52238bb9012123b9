internal import Hiredis

/// Something that happened: a CloudEvents 1.0 record. `source` and `id` together name it for ever.
public struct Event: Sendable {
    /// Unique within the source. A UUID of version 7 unless the publisher gives one.
    public var id: String
    /// Who says so: the service that published it.
    public var source: String
    /// What happened.
    public var type: EventType
    /// The version of `data`'s shape, from 1.
    public var schemaVersion: Int
    /// When it happened, by the publisher's clock.
    public var time: Timestamp
    /// The media type of `data`.
    public var contentType: String
    /// What it happened to, when the publisher says so.
    public var subject: String?
    /// What must stay in order: events with the same key go to the same partition.
    public var partitionKey: String?
    /// The story it belongs to: the id of the story's first event.
    public var correlationID: String?
    /// The id of the event that it follows.
    public var causationID: String?
    /// The W3C trace context in which it was published.
    public var traceparent: String? {
        get { trace.text }
        set { trace = PublishedTrace(newValue) }
    }
    var trace: PublishedTrace
    /// The payload as it travels.
    public var data: EventData

    /// An event with this payload. The story is its own, unless `correlationID` says otherwise.
    public init(
        id: String? = nil, source: String, type: EventType, schemaVersion: Int = 1, time: Timestamp = .now(),
        contentType: String = "application/json", subject: String? = nil, partitionKey: String? = nil,
        correlationID: String? = nil, causationID: String? = nil, traceparent: String? = nil, data: EventData
    ) {
        self.id = id ?? EventID.make(at: time)
        self.source = source
        self.type = type
        self.schemaVersion = schemaVersion
        self.time = time
        self.contentType = contentType
        self.subject = subject
        self.partitionKey = partitionKey
        self.correlationID = correlationID ?? self.id
        self.causationID = causationID
        trace = PublishedTrace(traceparent)
        self.data = data
    }
}

/// A payload's bytes: the program's own, or a slice of the reply in which they came.
public struct EventData: Sendable, ExpressibleByStringLiteral {
    private enum Storage {
        case own([UInt8])
        case slice(RedisBytes)
    }
    private let storage: Storage

    /// These bytes.
    public init(_ bytes: [UInt8]) { storage = .own(bytes) }

    /// This text in UTF-8.
    public init(stringLiteral text: String) { storage = .own(Array(text.utf8)) }

    init(slice: RedisBytes) { storage = .slice(slice) }

    /// The length in bytes.
    public var count: Int {
        switch storage {
        case .own(let bytes): bytes.count
        case .slice(let slice): slice.count
        }
    }

    /// A copy of the bytes.
    public var bytes: [UInt8] {
        switch storage {
        case .own(let bytes): bytes
        case .slice(let slice): slice.array
        }
    }

    /// The bytes as text; what is not UTF-8 becomes U+FFFD.
    public var string: String { String(decoding: bytes, as: UTF8.self) }

    func write(to command: inout CommandWriter) {
        switch storage {
        case .own(let bytes): command.append(bytes: bytes)
        case .slice(let slice): command.append(slice)
        }
    }
}
