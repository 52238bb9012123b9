internal import Freshet
internal import Synchronization
internal import Tracing

/// Spans as OTLP has them in JSON (`ExportTraceServiceRequest`): ids in hexadecimal digits, numbers of 64 bits as texts.
package enum OTLPEncoding {
    /// One request with these spans.
    ///
    /// - Parameter resource: what the spans are of: `service.name` and so on.
    package static func request(_ spans: [SpanRecord], resource: [(key: String, value: String)]) -> [UInt8] {
        var json = JSONText()
        json.bytes.reserveCapacity(512 + spans.count * 768)
        json.raw(#"{"resourceSpans":[{"resource":{"attributes":["#)
        for (index, (key, value)) in resource.enumerated() {
            if index > 0 { json.raw(",") }
            json.attribute(key, .string(value))
        }
        json.raw(#"]},"scopeSpans":[{"scope":{"name":"freshet"},"spans":["#)
        for (index, span) in spans.enumerated() {
            if index > 0 { json.raw(",") }
            json.span(span)
        }
        json.raw("]}]}]}")
        return json.bytes
    }
}

/// A text that grows.
private struct JSONText {
    var bytes: [UInt8] = []

    /// A longer text of an attribute is cut.
    private static let longest = 8192

    mutating func raw(_ text: StaticString) {
        unsafe bytes.append(
            contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    mutating func string(_ text: String) {
        bytes.append(0x22)
        var left = Self.longest
        for byte in text.utf8 {
            // Not in the middle of a character.
            if left <= 0, byte & 0xc0 != 0x80 { break }
            left -= 1
            switch byte {
            case 0x22, 0x5c: bytes += [0x5c, byte]
            case 0..<0x20:
                raw("\\u00")
                bytes.append(0x30 + byte >> 4)
                let digit = byte & 15
                bytes.append(digit < 10 ? 0x30 + digit : 0x57 + digit)
            default: bytes.append(byte)
            }
        }
        bytes.append(0x22)
    }

    mutating func number(_ value: some BinaryInteger) { bytes += Array("\(value)".utf8) }

    mutating func quoted(_ value: some BinaryInteger) {
        bytes.append(0x22)
        number(value)
        bytes.append(0x22)
    }

    /// Sixteen digits of base 16 for each part.
    mutating func id(_ parts: UInt64...) {
        bytes.append(0x22)
        for part in parts {
            for shift in stride(from: 60, through: 0, by: -4) {
                let digit = UInt8(truncatingIfNeeded: part >> UInt64(shift) & 15)
                bytes.append(digit < 10 ? 0x30 + digit : 0x57 + digit)
            }
        }
        bytes.append(0x22)
    }

    mutating func span(_ span: SpanRecord) {
        let contents = span.contents.withLock { $0 }
        raw(#"{"traceId":"#)
        id(span.context.traceID.high, span.context.traceID.low)
        raw(#","spanId":"#)
        id(span.context.spanID)
        if let parentID = span.parentID {
            raw(#","parentSpanId":"#)
            id(parentID)
        }
        raw(#","flags":1,"name":"#)
        string(contents.name)
        raw(#","kind":"#)
        number(Self.number(of: span.kind))
        raw(#","startTimeUnixNano":"#)
        quoted(span.start)
        raw(#","endTimeUnixNano":"#)
        quoted(contents.end)
        let dropped = contents.subject.map { attributes($0.forEach) } ?? attributes(contents.attributes)
        if dropped > 0 {
            raw(#","droppedAttributesCount":"#)
            number(dropped)
        }
        if !contents.events.isEmpty { events(contents) }
        if !contents.links.isEmpty { links(contents) }
        if let status = contents.status {
            raw(#","status":{"code":"#)
            number(status.code == .ok ? 1 : 2)
            if let message = status.message {
                raw(#","message":"#)
                string(message)
            }
            raw("}")
        }
        raw("}")
    }

    private mutating func events(_ contents: SpanRecord.Contents) {
        raw(#","events":["#)
        for (index, event) in contents.events.enumerated() {
            if index > 0 { raw(",") }
            raw(#"{"timeUnixNano":"#)
            quoted(event.nanosecondsSinceEpoch)
            raw(#","name":"#)
            string(event.name)
            attributes(event.attributes)
            raw("}")
        }
        raw("]")
        guard contents.droppedEvents > 0 else { return }
        raw(#","droppedEventsCount":"#)
        number(contents.droppedEvents)
    }

    private mutating func links(_ contents: SpanRecord.Contents) {
        raw(#","links":["#)
        for (index, link) in contents.links.enumerated() {
            guard let trace = link.context.trace else { continue }
            if index > 0 { raw(",") }
            raw(#"{"traceId":"#)
            id(trace.traceID.high, trace.traceID.low)
            raw(#","spanId":"#)
            id(trace.spanID)
            raw(#","flags":"#)
            number(trace.isSampled ? 1 : 0)
            attributes(link.attributes)
            raw("}")
        }
        raw("]")
        guard contents.droppedLinks > 0 else { return }
        raw(#","droppedLinksCount":"#)
        number(contents.droppedLinks)
    }

    /// Appends them as a member; returns how many were left out.
    @discardableResult
    private mutating func attributes(_ attributes: SpanAttributes) -> Int {
        attributes.isEmpty ? 0 : self.attributes(attributes.forEach)
    }

    /// The same for some, at least one.
    private mutating func attributes(_ forEach: ((String, SpanAttribute) -> Void) -> Void) -> Int {
        raw(#","attributes":["#)
        var count = 0
        forEach { key, value in
            count += 1
            guard count <= SpanRecord.most else { return }
            if count > 1 { raw(",") }
            attribute(key, value)
        }
        raw("]")
        return max(0, count - SpanRecord.most)
    }

    mutating func attribute(_ key: String, _ value: SpanAttribute) {
        raw(#"{"key":"#)
        string(key)
        raw(#","value":"#)
        self.value(value)
        raw("}")
    }

    private mutating func value(_ value: SpanAttribute) {
        switch value {
        case .int32(let number): integer(Int64(number))
        case .int64(let number): integer(number)
        case .double(let number): double(number)
        case .bool(let flag): flag ? raw(#"{"boolValue":true}"#) : raw(#"{"boolValue":false}"#)
        case .string(let text): plain(text)
        case .stringConvertible(let text): plain("\(text)")
        case .int32Array(let list): array(list) { $0.integer(Int64($1)) }
        case .int64Array(let list): array(list) { $0.integer($1) }
        case .doubleArray(let list): array(list) { $0.double($1) }
        case .boolArray(let list): array(list) { $0.value(.bool($1)) }
        case .stringArray(let list): array(list) { $0.plain($1) }
        case .stringConvertibleArray(let list): array(list) { $0.plain("\($1)") }
        default: plain("")
        }
    }

    private mutating func plain(_ text: String) {
        raw(#"{"stringValue":"#)
        string(text)
        raw("}")
    }

    private mutating func integer(_ number: Int64) {
        raw(#"{"intValue":"#)
        quoted(number)
        raw("}")
    }

    private mutating func double(_ number: Double) {
        raw(#"{"doubleValue":"#)
        // Protocol Buffers' JSON has these as texts.
        if number.isFinite {
            bytes += Array("\(number)".utf8)
        } else {
            string(number.isNaN ? "NaN" : number > 0 ? "Infinity" : "-Infinity")
        }
        raw("}")
    }

    private mutating func array<Element>(_ list: [Element], _ append: (inout JSONText, Element) -> Void) {
        raw(#"{"arrayValue":{"values":["#)
        for (index, element) in list.enumerated() {
            if index > 0 { raw(",") }
            append(&self, element)
        }
        raw("]}}")
    }

    private static func number(of kind: SpanKind) -> Int {
        switch kind {
        case .internal: 1
        case .server: 2
        case .client: 3
        case .producer: 4
        case .consumer: 5
        }
    }
}
