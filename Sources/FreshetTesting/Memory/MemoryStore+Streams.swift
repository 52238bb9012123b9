internal import Hiredis

// Commands of streams; those of their groups stand beside.
extension MemoryStore {
    func streams(_ arguments: inout MemoryArguments) throws(MemoryError) -> MemoryReply? {
        switch arguments.name {
        case "XADD": return try add(&arguments)
        case "XLEN": return .integer(try stream(try arguments.text())?.entries.count ?? 0)
        case "XRANGE", "XREVRANGE": return try range(&arguments)
        case "XDEL":
            let stream = try stream(try arguments.text())
            var deleted = 0
            for text in arguments.all where stream?.delete(try Self.id(text.text)) ?? false { deleted += 1 }
            return .integer(deleted)
        case "XTRIM":
            let stream = try stream(try arguments.text())
            guard let trim = try Trim(&arguments) else { throw .syntax }
            guard arguments.isEmpty else { throw .syntax }
            return .integer(stream.map(trim.apply) ?? 0)
        case "XREAD", "XREADGROUP": return try read(&arguments)
        default: return nil
        }
    }

    // MARK: - Ids

    static func id(_ text: String, sequence: UInt64 = 0) throws(MemoryError) -> StreamID {
        guard let id = StreamID(text) else { throw .invalidID }
        return text.contains("-") ? id : StreamID(milliseconds: id.milliseconds, sequence: sequence)
    }

    /// The end of a range: `-`, `+`, an id, or `(` and an id that is left out.
    static func bound(_ text: String, isLower: Bool) throws(MemoryError) -> StreamID {
        if text == "-" { return .zero }
        if text == "+" { return .newest }
        guard text.hasPrefix("(") else { return try id(text, sequence: isLower ? 0 : .max) }
        let id = try id(String(text.dropFirst()), sequence: isLower ? 0 : .max)
        guard let inside = isLower ? id.successor : id.predecessor else {
            throw MemoryError("ERR invalid \(isLower ? "start" : "end") ID for the interval")
        }
        return inside
    }

    // MARK: - Adding

    private func add(_ arguments: inout MemoryArguments) throws(MemoryError) -> MemoryReply {
        let key = try arguments.text()
        let isMade = !arguments.take("NOMKSTREAM")
        let trim = try Trim(&arguments)
        let wanted = try arguments.text()
        guard !arguments.isEmpty, arguments.count % 2 == 0 else { throw .arguments(of: "XADD") }
        let existing = try stream(key)
        let id = try nextID(wanted, after: existing?.lastID ?? .zero)
        guard existing != nil || isMade else { return .null }
        let stream = existing ?? MemoryStream()
        stream.append(arguments.all, as: id)
        if existing == nil { set(key, .stream(stream)) }
        if let trim { _ = trim.apply(stream) }
        return .text(id.description)
    }

    private func nextID(_ wanted: String, after last: StreamID) throws(MemoryError) -> StreamID {
        guard let following = last.successor else {
            throw MemoryError("ERR The stream has exhausted the last possible ID, unable to add more items")
        }
        if wanted == "*" {
            let milliseconds = UInt64(now)
            return milliseconds > last.milliseconds
                ? StreamID(milliseconds: milliseconds, sequence: 0) : following
        }
        if wanted.hasSuffix("-*") {
            let milliseconds = try Self.id(String(wanted.dropLast(2))).milliseconds
            if milliseconds == last.milliseconds, following.milliseconds == milliseconds { return following }
            let id = StreamID(milliseconds: milliseconds, sequence: 0)
            guard id > last else { throw Self.tooSmall }
            return id
        }
        let id = try Self.id(wanted)
        guard id > .zero else { throw MemoryError("ERR The ID specified in XADD must be greater than 0-0") }
        guard id > last else { throw Self.tooSmall }
        return id
    }

    private static let tooSmall = MemoryError(
        "ERR The ID specified in XADD is equal or smaller than the target stream top item")

    /// MAXLEN or MINID. `~` is taken for `=`: a trim of whole nodes may leave more, and here never does.
    private struct Trim {
        private var most: Int?
        private var first: StreamID?

        init?(_ arguments: inout MemoryArguments) throws(MemoryError) {
            let isByCount = arguments.take("MAXLEN")
            guard isByCount || arguments.take("MINID") else { return nil }
            let isApproximate = arguments.take("~")
            if !isApproximate { _ = arguments.take("=") }
            if isByCount {
                most = try arguments.integer()
            } else {
                first = try MemoryStore.id(try arguments.text())
            }
            if arguments.take("LIMIT") {
                _ = try arguments.integer()
                guard isApproximate else { throw .syntax }
            }
        }

        /// How many it cut off.
        func apply(_ stream: MemoryStream) -> Int {
            let count =
                most.map { max(0, stream.entries.count - $0) }
                ?? stream.entries.prefix { $0.id < first ?? .zero }.count
            stream.removeFirst(count)
            return count
        }
    }

    // MARK: - Reading

    private func range(_ arguments: inout MemoryArguments) throws(MemoryError) -> MemoryReply {
        let isReversed = arguments.name == "XREVRANGE"
        let stream = try stream(try arguments.text())
        let (one, other) = (try arguments.text(), try arguments.text())
        let first = try Self.bound(isReversed ? other : one, isLower: true)
        let last = try Self.bound(isReversed ? one : other, isLower: false)
        var count = Int.max
        if arguments.take("COUNT") { count = max(0, try arguments.integer()) }
        guard arguments.isEmpty else { throw .syntax }
        if count == 0 { return .nullArray }
        guard let stream, first <= last else { return .array([]) }
        if isReversed {
            return .array(stream.entries(from: first, through: last).reversed().prefix(count).map(\.reply))
        }
        return .array(stream.entries(from: first, through: last, count: count).map(\.reply))
    }

    private func read(_ arguments: inout MemoryArguments) throws(MemoryError) -> MemoryReply {
        var (reader, count, isHeld): ((group: String, consumer: String)?, Int, Bool) = (nil, .max, true)
        while !arguments.take("STREAMS") {
            if arguments.take("GROUP") {
                reader = (try arguments.text(), try arguments.text())
            } else if arguments.take("COUNT") {
                let most = try arguments.integer()
                count = most > 0 ? most : .max
            } else if arguments.take("BLOCK") {
                _ = try arguments.integer()
            } else if arguments.take("NOACK") {
                isHeld = false
            } else {
                throw .syntax
            }
        }
        guard arguments.count > 0, arguments.count % 2 == 0 else {
            throw MemoryError(
                "ERR Unbalanced '\(arguments.name.lowercased())' list of streams: for each stream key an ID or '>' must be specified."
            )
        }
        let texts = arguments.all.map(\.text)
        let (keys, positions) = (texts.prefix(texts.count / 2), texts.suffix(texts.count / 2))
        if let reader {
            for key in keys where try stream(key)?.groups[reader.group] == nil {
                throw MemoryError(
                    "NOGROUP No such key '\(key)' or consumer group '\(reader.group)' in XREADGROUP with GROUP option"
                )
            }
        }
        var replies: [MemoryReply] = []
        for (key, position) in zip(keys, positions) {
            guard let stream = try stream(key) else { continue }
            var found: [MemoryReply] = []
            if let reader, position == ">" {
                found = stream.deliver(
                    to: reader.consumer, of: reader.group, count: count, isHeld: isHeld, now: now
                )
                .map(\.reply)
            } else if let reader {
                found = held(stream, reader, try Self.id(position), count)
                replies.append(.array([.text(key), .array(found)]))
                continue
            } else if let first = try Self.id(position).successor {
                found = stream.entries(from: first, through: .newest, count: count).map(\.reply)
            }
            if !found.isEmpty { replies.append(.array([.text(key), .array(found)])) }
        }
        return replies.isEmpty ? .nullArray : .array(replies)
    }

    /// What a consumer holds; each time counts as a delivery.
    private func held(
        _ stream: MemoryStream, _ reader: (group: String, consumer: String), _ after: StreamID, _ count: Int
    ) -> [MemoryReply] {
        guard let group = stream.groups[reader.group] else { return [] }
        var found: [MemoryReply] = []
        for id in group.order[group.order.firstIndex(atLeast: after.successor ?? .newest)...]
        where group[id]?.consumer == reader.consumer && found.count < count {
            group[id]?.deliveries += 1
            group[id]?.deliveredAt = now
            found.append(stream[id]?.reply ?? .array([.text(id.description), .nullArray]))
        }
        return found
    }
}
