internal import Hiredis

/// The names of an entry's fields, in the order in which they are written.
enum Field {
    static let originalID = "freshetoriginalid"
    static let attempt = "freshetattempt"
    static let replay = "freshetreplay"
    static let reason = "freshetreason"
    static let failedAt = "freshetfailedat"
    static let retries = "freshetretries"
    /// Names that delivery adds, and no publisher.
    static let reservedPrefix = "freshet"
    /// More than that is not an event: an attribute has one field, and a script can carry so many.
    static let most = 1000
}

extension Event {
    /// How many arguments `write` appends.
    var argumentCount: Int {
        var fields = 8
        if subject != nil { fields += 1 }
        if partitionKey != nil { fields += 1 }
        if correlationID != nil { fields += 1 }
        if causationID != nil { fields += 1 }
        if traceparent != nil { fields += 1 }
        return fields * 2
    }

    func write(to command: inout CommandWriter) {
        func write(_ name: StaticString, _ value: String?) {
            guard let value else { return }
            command.append(name)
            command.append(value)
        }
        write("specversion", "1.0")
        write("id", id)
        write("source", source)
        write("type", type.rawValue)
        write("schemaversion", String(schemaVersion))
        write("time", time.description)
        write("datacontenttype", contentType)
        write("subject", subject)
        write("partitionkey", partitionKey)
        write("correlationid", correlationID)
        write("causationid", causationID)
        write("traceparent", traceparent)
        command.append("data")
        data.write(to: &command)
    }
}

/// An entry's fields as events and delivery's own attributes, or the reason why they are none.
struct DecodedFields {
    var event: Event
    var originalID: StreamID?
    var failedAttempts = 0
    var replayID: String?

    /// What stands for an entry of which nothing can be read.
    static let unreadable = DecodedFields()

    private init() {
        event = Event(
            id: "", source: "", type: EventType(unchecked: ""), time: Timestamp(milliseconds: 0), data: "")
    }

    /// - Parameters:
    ///   - fields: names and values in turn, in any order; unknown names are passed over.
    ///   - trusted: whether delivery's own names count, which they do on a stream that only delivery writes.
    init(_ fields: RedisReplies, entry: StreamID, trusted: Bool) throws(FreshetError) {
        guard fields.count <= 2 * Field.most else {
            throw FreshetError(.invalidEvent, "an entry of more than \(Field.most) fields")
        }
        var event = Event(
            id: "", source: "", type: EventType(unchecked: ""), time: Timestamp(milliseconds: 0), data: "")
        event.correlationID = nil
        var (specVersion, version, time, data) = (String?.none, "1", String?.none, RedisBytes?.none)
        var iterator = fields.makeIterator()
        while let name = iterator.next()?.bytes, let value = iterator.next()?.bytes {
            func text() throws(FreshetError) -> String {
                guard let text = value.validString else {
                    throw FreshetError(.invalidEvent, "the field '\(name.string)' is not UTF-8")
                }
                return text
            }
            switch name.count {
            case 2 where name == "id": event.id = try text()
            case 4 where name == "type": event.type = EventType(unchecked: try text())
            case 4 where name == "time": time = try text()
            case 4 where name == "data": data = value
            case 6 where name == "source": event.source = try text()
            case 7 where name == "subject": event.subject = try text()
            case 11 where name == "specversion": specVersion = try text()
            case 11 where name == "causationid": event.causationID = try text()
            case 11 where name == "traceparent": event.traceparent = try text()
            case 12 where name == "partitionkey": event.partitionKey = try text()
            case 13 where name == "schemaversion": version = try text()
            case 13 where name == "correlationid": event.correlationID = try text()
            case 15 where name == "datacontenttype": event.contentType = try text()
            case 17 where trusted && name == "freshetoriginalid": originalID = StreamID(try text())
            case 14 where trusted && name == "freshetattempt": failedAttempts = value.integer ?? 0
            case 13 where trusted && name == "freshetreplay": replayID = try text()
            default: continue
            }
        }
        guard let specVersion else { throw FreshetError(.invalidEvent, "no specversion") }
        guard specVersion.hasPrefix("1.") else {
            throw FreshetError(.invalidEvent, "specversion '\(specVersion.prefix(20))' is not 1.0")
        }
        guard !event.id.isEmpty else { throw FreshetError(.invalidEvent, "no id") }
        guard !event.source.isEmpty else { throw FreshetError(.invalidEvent, "no source") }
        guard !event.type.rawValue.isEmpty else { throw FreshetError(.invalidEvent, "no type") }
        guard let number = Int(version), number >= 1 else {
            throw FreshetError(
                .invalidEvent, "schemaversion '\(version.prefix(20))' is not a whole number from 1")
        }
        event.schemaVersion = number
        if let time {
            guard let moment = Timestamp(time) else {
                throw FreshetError(.invalidEvent, "time '\(time.prefix(40))' is not RFC 3339")
            }
            event.time = moment
        } else {
            event.time = Timestamp(milliseconds: Int64(clamping: (originalID ?? entry).milliseconds))
        }
        if let data { event.data = EventData(slice: data) }
        event.correlationID = event.correlationID ?? event.id
        self.event = event
    }
}
