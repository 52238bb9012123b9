internal import Hiredis

// Commands of the groups of streams.
extension MemoryStore {
    func groups(_ arguments: inout MemoryArguments) throws(MemoryError) -> MemoryReply? {
        switch arguments.name {
        case "XGROUP": return try changeGroup(&arguments)
        case "XINFO": return try info(&arguments)
        case "XACK":
            let (key, name) = (try arguments.text(), try arguments.text())
            let group = try stream(key)?.groups[name]
            var acknowledged = 0
            for text in arguments.all {
                let id = try Self.id(text.text)
                guard let group, group[id] != nil else { continue }
                group[id] = nil
                acknowledged += 1
            }
            return .integer(acknowledged)
        case "XPENDING": return try pending(&arguments)
        case "XCLAIM": return try claim(&arguments)
        case "XAUTOCLAIM": return try claimAutomatically(&arguments)
        default: return nil
        }
    }

    private func group(_ key: String, _ name: String) throws(MemoryError) -> (
        MemoryStream, MemoryStream.Group
    ) {
        guard let stream = try stream(key), let group = stream.groups[name] else {
            throw MemoryError("NOGROUP No such key '\(key)' or consumer group '\(name)'")
        }
        return (stream, group)
    }

    // MARK: - XGROUP

    private func changeGroup(_ arguments: inout MemoryArguments) throws(MemoryError) -> MemoryReply {
        let change = try arguments.text().uppercased()
        let (key, name) = (try arguments.text(), try arguments.text())
        if change == "CREATE" {
            let position = try arguments.text()
            let isMade = arguments.take("MKSTREAM")
            guard let stream = try stream(key) ?? (isMade ? MemoryStream() : nil) else { throw Self.noStream }
            guard stream.groups[name] == nil else {
                throw MemoryError("BUSYGROUP Consumer Group name already exists")
            }
            stream.groups[name] = try group(at: position, of: stream, &arguments)
            set(key, .stream(stream))
            return .ok
        }
        guard let stream = try stream(key) else { throw Self.noStream }
        if change == "DESTROY" { return .integer(stream.groups.removeValue(forKey: name) == nil ? 0 : 1) }
        guard let group = stream.groups[name] else {
            throw MemoryError("NOGROUP No such consumer group '\(name)' for key name '\(key)'")
        }
        switch change {
        case "SETID":
            let moved = try self.group(at: try arguments.text(), of: stream, &arguments)
            (group.lastDelivered, group.entriesRead) = (moved.lastDelivered, moved.entriesRead)
            return .ok
        case "CREATECONSUMER":
            let consumer = try arguments.text()
            guard group.consumers[consumer] == nil else { return .integer(0) }
            group.consumers[consumer] = .init(seenAt: now)
            return .integer(1)
        case "DELCONSUMER":
            let consumer = try arguments.text()
            let held = group.order.filter { group[$0]?.consumer == consumer }
            for id in held { group[id] = nil }
            group.consumers[consumer] = nil
            return .integer(held.count)
        default: throw .syntax
        }
    }

    private static let noStream = MemoryError(
        "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM "
            + "option to create an empty stream automatically.")

    private func group(at position: String, of stream: MemoryStream, _ arguments: inout MemoryArguments)
        throws(MemoryError) -> MemoryStream.Group
    {
        let id = position == "$" ? stream.lastID : try Self.id(position)
        return .init(after: id, entriesRead: arguments.take("ENTRIESREAD") ? try arguments.integer() : nil)
    }

    // MARK: - XINFO

    private func info(_ arguments: inout MemoryArguments) throws(MemoryError) -> MemoryReply {
        let what = try arguments.text().uppercased()
        let key = try arguments.text()
        guard let stream = try stream(key) else { throw .noSuchKey }
        switch what {
        case "STREAM":
            return Self.named([
                ("length", .integer(stream.entries.count)), ("radix-tree-keys", .integer(1)),
                ("radix-tree-nodes", .integer(2)), ("last-generated-id", .text(stream.lastID.description)),
                ("max-deleted-entry-id", .text(stream.maxDeleted.description)),
                ("entries-added", .integer(stream.added)),
                ("recorded-first-entry-id", .text((stream.entries.first?.id ?? .zero).description)),
                ("groups", .integer(stream.groups.count)),
                ("first-entry", stream.entries.first?.reply ?? .null),
                ("last-entry", stream.entries.last?.reply ?? .null),
            ])
        case "GROUPS":
            return .array(
                stream.groups.sorted { $0.key < $1.key }.map { name, group in
                    Self.named([
                        ("name", .text(name)), ("consumers", .integer(group.consumers.count)),
                        ("pending", .integer(group.order.count)),
                        ("last-delivered-id", .text(group.lastDelivered.description)),
                        ("entries-read", group.entriesRead.map(MemoryReply.integer) ?? .null),
                        ("lag", .integer(stream.waiting(for: group))),
                    ])
                })
        case "CONSUMERS":
            let name = try arguments.text()
            guard let group = stream.groups[name] else {
                throw MemoryError("NOGROUP No such consumer group '\(name)' for key name '\(key)'")
            }
            return .array(
                group.consumers.sorted { $0.key < $1.key }.map { name, consumer in
                    Self.named([
                        ("name", .text(name)), ("pending", .integer(group.held(by: name))),
                        ("idle", .integer(now - consumer.seenAt)),
                        ("inactive", .integer(consumer.activeAt.map { now - $0 } ?? -1)),
                    ])
                })
        default: throw .syntax
        }
    }

    private static func named(_ fields: [(String, MemoryReply)]) -> MemoryReply {
        .array(fields.flatMap { [.text($0.0), $0.1] })
    }

    // MARK: - XPENDING

    private func pending(_ arguments: inout MemoryArguments) throws(MemoryError) -> MemoryReply {
        let (_, group) = try group(try arguments.text(), try arguments.text())
        guard !arguments.isEmpty else {
            guard let first = group.order.first, let last = group.order.last else {
                return .array([.integer(0), .null, .null, .nullArray])
            }
            var counts: [String: Int] = [:]
            for id in group.order { counts[group[id]?.consumer ?? "", default: 0] += 1 }
            let consumers = counts.sorted { $0.key < $1.key }.map {
                MemoryReply.texts([$0.key, "\($0.value)"])
            }
            return .array([
                .integer(group.order.count), .text(first.description), .text(last.description),
                .array(consumers),
            ])
        }
        let idle = arguments.take("IDLE") ? try arguments.integer() : 0
        let first = try Self.bound(try arguments.text(), isLower: true)
        let last = try Self.bound(try arguments.text(), isLower: false)
        let count = try arguments.integer()
        let consumer = arguments.isEmpty ? nil : try arguments.text()
        var found: [MemoryReply] = []
        for id in group.order[group.order.firstIndex(atLeast: first)...] {
            guard id <= last, found.count < count else { break }
            guard let entry = group[id], consumer ?? entry.consumer == entry.consumer,
                now - entry.deliveredAt >= idle
            else { continue }
            found.append(
                .array([
                    .text(id.description), .text(entry.consumer), .integer(now - entry.deliveredAt),
                    .integer(entry.deliveries),
                ]))
        }
        return .array(found)
    }

    // MARK: - Claiming

    private func claim(_ arguments: inout MemoryArguments) throws(MemoryError) -> MemoryReply {
        let (stream, group) = try group(try arguments.text(), try arguments.text())
        let (consumer, idle) = (try arguments.text(), try arguments.integer())
        var ids: [StreamID] = []
        while !arguments.isEmpty, let id = StreamID(arguments.all[0].text) {
            ids.append(id)
            _ = try arguments.bytes()
        }
        var (isOnlyID, isForced, deliveries, deliveredAt): (Bool, Bool, Int?, Int) = (false, false, nil, now)
        while !arguments.isEmpty {
            if arguments.take("JUSTID") {
                isOnlyID = true
            } else if arguments.take("FORCE") {
                isForced = true
            } else if arguments.take("RETRYCOUNT") {
                deliveries = try arguments.integer()
            } else if arguments.take("IDLE") {
                deliveredAt = min(now, now - (try arguments.integer()))
            } else {
                throw MemoryError("ERR Unrecognized XCLAIM option '\(try arguments.text())'")
            }
        }
        var claimed: [MemoryReply] = []
        group.consumers[consumer, default: .init(seenAt: now)].seenAt = now
        for id in ids {
            guard let entry = stream[id] else {
                group[id] = nil
                continue
            }
            var held =
                group[id] ?? (isForced ? .init(consumer: consumer, deliveredAt: 0, deliveries: 0) : nil)
            guard let known = held, now - known.deliveredAt >= idle else { continue }
            held?.consumer = consumer
            held?.deliveredAt = deliveredAt
            held?.deliveries = deliveries ?? (isOnlyID ? known.deliveries : known.deliveries + 1)
            group[id] = held
            group.consumers[consumer]?.activeAt = now
            claimed.append(isOnlyID ? .text(id.description) : entry.reply)
        }
        return .array(claimed)
    }

    private func claimAutomatically(_ arguments: inout MemoryArguments) throws(MemoryError) -> MemoryReply {
        let (stream, group) = try group(try arguments.text(), try arguments.text())
        let (consumer, idle) = (try arguments.text(), try arguments.integer())
        let start = try Self.bound(try arguments.text(), isLower: true)
        var count = 100
        if arguments.take("COUNT") { count = try arguments.integer() }
        guard count > 0 else { throw MemoryError("ERR COUNT must be > 0") }
        let isOnlyID = arguments.take("JUSTID")
        group.consumers[consumer, default: .init(seenAt: now)].seenAt = now
        var (claimed, deleted): ([MemoryReply], [String]) = ([], [])
        let rest = group.order[group.order.firstIndex(atLeast: start)...]
        var (position, looked) = (rest.startIndex, 0)
        while position < rest.endIndex, looked < count * 10, claimed.count + deleted.count < count {
            let id = rest[position]
            (position, looked) = (position + 1, looked + 1)
            guard let entry = stream[id] else {
                group[id] = nil
                deleted.append(id.description)
                continue
            }
            guard let held = group[id], now - held.deliveredAt >= idle else { continue }
            group[id] = .init(
                consumer: consumer, deliveredAt: now,
                deliveries: isOnlyID ? held.deliveries : held.deliveries + 1)
            group.consumers[consumer]?.activeAt = now
            claimed.append(isOnlyID ? .text(id.description) : entry.reply)
        }
        let next = position < rest.endIndex ? rest[position].description : "0-0"
        return .array([.text(next), .array(claimed), .texts(deleted)])
    }
}
