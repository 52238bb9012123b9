internal import Hiredis

/// The names of an entry's fields, in the order in which they are written.
enum Field {
    static let originalID = "freshetoriginalid"
    static let attempt = "freshetattempt"
    static let replay = "freshetreplay"
    static let reason = "freshetreason"
    static let failedAt = "freshetfailedat"
    static let retries = "freshetretries"
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
        if !trace.isNone { fields += 1 }
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
    /// Not an event: an operator has cancelled the retry that stood here.
    var isCancelled = false

    /// What stands for an entry of which nothing can be read.
    static let unreadable = DecodedFields()

    private init() {
        event = Event(
            id: "", source: "", type: EventType(unchecked: ""), time: Timestamp(milliseconds: 0), data: "")
        event.correlationID = nil
    }

    /// - Parameters:
    ///   - fields: names and values in turn, in any order; unknown names are passed over, and of equal names the last counts.
    ///   - trusted: whether delivery's own names count, which they do on a stream that only delivery writes.
    ///   - texts: values that were read before.
    init(_ fields: RedisReplies, entry: StreamID, trusted: Bool, texts: inout KnownTexts) throws(FreshetError)
    {
        guard fields.count <= 2 * Field.most else {
            throw FreshetError(.invalidEvent, "an entry of more than \(Field.most) fields")
        }
        // Filled in place: a copy of an event is a dozen reference counts.
        self.init()
        var (specVersion, version, time, data) = (String?.none, String?.none, Timestamp?.none, Int?.none)
        var problem: String?
        unsafe fields.forEachField { name, value, index in
            func text() -> String? {
                if let text = unsafe String(utf8: value) { return text }
                problem =
                    problem ?? "the field '\(unsafe String(decoding: name, as: UTF8.self))' is not UTF-8"
                return nil
            }
            switch name.count {
            case 2 where unsafe name.spells("id"): self.event.id = text() ?? ""
            case 4 where unsafe name.spells("type"):
                self.event.type = EventType(unchecked: unsafe texts.type.read(value) ?? text() ?? "")
            case 4 where unsafe name.spells("time"):
                time = unsafe Timestamp(utf8: value)
                if time == nil, let text = text() {
                    problem = problem ?? "time '\(text.prefix(40))' is not RFC 3339"
                }
            case 4 where unsafe name.spells("data"): data = index
            case 6 where unsafe name.spells("source"):
                self.event.source = unsafe texts.source.read(value) ?? text() ?? ""
            case 7 where unsafe name.spells("subject"): self.event.subject = text()
            case 11 where unsafe name.spells("specversion"):
                specVersion = unsafe texts.specVersion.read(value) ?? text()
            case 11 where unsafe name.spells("causationid"): self.event.causationID = text()
            case 11 where unsafe name.spells("traceparent"):
                self.event.trace =
                    unsafe Traceparent(utf8: value).map { .known($0) } ?? PublishedTrace(text())
            case 12 where unsafe name.spells("partitionkey"): self.event.partitionKey = text()
            case 13 where unsafe name.spells("schemaversion"):
                version = unsafe texts.version.read(value) ?? text()
            case 13 where unsafe name.spells("correlationid"):
                // Mostly the event's own id, which comes before it.
                self.event.correlationID = unsafe self.event.id.isSpelled(by: value) ? self.event.id : text()
            case 15 where unsafe name.spells("datacontenttype"):
                self.event.contentType = unsafe texts.contentType.read(value) ?? text() ?? ""
            case 17 where unsafe trusted && name.spells("freshetoriginalid"):
                self.originalID = text().flatMap { StreamID($0) }
            case 14 where unsafe trusted && name.spells("freshetattempt"):
                self.failedAttempts = text().flatMap { Int($0) } ?? 0
            case 13 where unsafe trusted && name.spells("freshetreplay"): self.replayID = text()
            case 16 where unsafe trusted && name.spells("freshetcancelled"): self.isCancelled = true
            default: break
            }
        }
        if let problem { throw FreshetError(.invalidEvent, problem) }
        // Databases cut texts off there, and two events would have one name.
        guard !self.event.id.utf8.contains(0), !self.event.source.utf8.contains(0) else {
            throw FreshetError(.invalidEvent, "the id or the source holds a NUL")
        }
        guard let specVersion else { throw FreshetError(.invalidEvent, "no specversion") }
        guard specVersion.hasPrefix("1.") else {
            throw FreshetError(.invalidEvent, "specversion '\(specVersion.prefix(20))' is not 1.0")
        }
        guard !self.event.id.isEmpty else { throw FreshetError(.invalidEvent, "no id") }
        guard !self.event.source.isEmpty else { throw FreshetError(.invalidEvent, "no source") }
        guard !self.event.type.rawValue.isEmpty else { throw FreshetError(.invalidEvent, "no type") }
        if let version, version != "1" {
            guard let number = Int(version), number >= 1 else {
                throw FreshetError(
                    .invalidEvent, "schemaversion '\(version.prefix(20))' is not a whole number from 1")
            }
            self.event.schemaVersion = number
        }
        self.event.time =
            time ?? Timestamp(milliseconds: Int64(clamping: (self.originalID ?? entry).milliseconds))
        if let data = data.flatMap({ fields.bytes(at: $0) }) { self.event.data = EventData(slice: data) }
        self.event.correlationID = self.event.correlationID ?? self.event.id
    }

    /// As above, for a single entry.
    init(_ fields: RedisReplies, entry: StreamID, trusted: Bool) throws(FreshetError) {
        var texts = KnownTexts()
        try self.init(fields, entry: entry, trusted: trusted, texts: &texts)
    }
}
