internal import Hiredis

/// What a server keeps: keys, their values, and when they expire. It executes one command at a time.
///
/// It answers as Redis 7.2 does (`MemoryServerTests` asks both the same); what Freshet does not use is not there.
final class MemoryStore {
    enum Value {
        case text(Bytes)
        case hash([Bytes: Bytes])
        case sortedSet(MemorySortedSet)
        case stream(MemoryStream)

        var type: String {
            switch self {
            case .text: "string"
            case .hash: "hash"
            case .sortedSet: "zset"
            case .stream: "stream"
            }
        }
    }

    /// Milliseconds since 1970.
    var now: Int
    private var values: [String: Value] = [:]
    private var expiries: [String: Int] = [:]
    lazy var scripts = MemoryScripts(store: self)

    init(now: Int) { self.now = now }

    func execute(_ request: [Bytes]) -> MemoryReply {
        guard !request.isEmpty else { return .error("ERR empty command") }
        var arguments = MemoryArguments(request)
        do throws(MemoryError) { return try execute(&arguments) } catch { return .error(error.text) }
    }

    private func execute(_ arguments: inout MemoryArguments) throws(MemoryError) -> MemoryReply {
        for execute in [server, keys, hashes, sortedSets, streams, groups] {
            if let reply = try execute(&arguments) { return reply }
        }
        throw MemoryError("ERR unknown command '\(arguments.name)', with args beginning with: ")
    }

    // MARK: - Values

    func value(_ key: String) -> Value? {
        if let due = expiries[key], due <= now { remove(key) }
        return values[key]
    }

    /// Keeps the key's expiry; nil removes the key.
    func set(_ key: String, _ value: Value?) {
        if value == nil { remove(key) } else { values[key] = value }
    }

    @discardableResult
    private func remove(_ key: String) -> Bool {
        expiries[key] = nil
        return values.removeValue(forKey: key) != nil
    }

    func stream(_ key: String) throws(MemoryError) -> MemoryStream? {
        switch value(key) {
        case .stream(let stream): return stream
        case nil: return nil
        default: throw .wrongType
        }
    }

    /// For tests that ask what is left to do.
    func existingStream(_ key: String) -> MemoryStream? {
        if case .stream(let stream)? = value(key) { stream } else { nil }
    }

    /// For tests that ask what is left to do.
    func sortedSet(_ key: String) -> MemorySortedSet? {
        if case .sortedSet(let set)? = value(key) { set } else { nil }
    }

    // MARK: - Commands of the server

    private func server(_ arguments: inout MemoryArguments) throws(MemoryError) -> MemoryReply? {
        switch arguments.name {
        case "PING": return .status("PONG")
        case "SELECT", "AUTH", "READONLY", "ASKING": return .ok
        case "TIME": return .texts(["\(now / 1000)", "\(now % 1000 * 1000)"])
        case "HELLO":
            return .array([
                .text("server"), .text("freshet-memory"), .text("version"), .text("1.0.0"), .text("proto"),
                .integer(2),
            ])
        case "COMMAND":
            _ = try arguments.bytes()
            return .array(
                arguments.all.map { $0.text == "XAUTOCLAIM" ? .array([.text("xautoclaim")]) : .nullArray })
        case "INFO": return .text("# Server\r\nredis_version:7.2.0\r\n")
        case "ROLE": return .array([.text("master"), .integer(0), .array([])])
        case "WAIT": return .integer(0)
        case "FLUSHALL":
            (values, expiries) = ([:], [:])
            return .ok
        case "EVAL", "EVALSHA": return try scripts.run(&arguments)
        default: return nil
        }
    }

    // MARK: - Commands of keys and texts

    private func keys(_ arguments: inout MemoryArguments) throws(MemoryError) -> MemoryReply? {
        switch arguments.name {
        case "EXISTS": return .integer(arguments.all.count { value($0.text) != nil })
        case "DEL", "UNLINK":
            return .integer(arguments.all.count { value($0.text) != nil && remove($0.text) })
        case "TYPE": return .status(value(try arguments.text())?.type ?? "none")
        case "DBSIZE": return .integer(values.keys.count { value($0) != nil })
        case "SCAN":
            _ = try arguments.text()
            var pattern = "*"
            while !arguments.isEmpty {
                let option = try arguments.text().uppercased()
                let setting = try arguments.text()
                if option == "MATCH" { pattern = setting }
            }
            let found = values.keys.filter {
                value($0) != nil && Self.matches(Array($0.utf8)[...], Array(pattern.utf8)[...])
            }
            return .array([.text("0"), .texts(found.sorted())])
        case "PEXPIRE":
            let (key, pause) = (try arguments.text(), try arguments.integer())
            guard value(key) != nil else { return .integer(0) }
            expiries[key] = now + pause
            return .integer(1)
        case "PERSIST":
            let key = try arguments.text()
            return .integer(value(key) != nil && expiries.removeValue(forKey: key) != nil ? 1 : 0)
        case "PTTL":
            let key = try arguments.text()
            return .integer(value(key) == nil ? -2 : expiries[key].map { $0 - now } ?? -1)
        case "GET":
            switch value(try arguments.text()) {
            case .text(let text): return .bulk(text)
            case nil: return .null
            default: throw .wrongType
            }
        case "SET":
            let (key, text) = (try arguments.text(), try arguments.bytes())
            var (isNew, due): (Bool, Int?) = (false, nil)
            while !arguments.isEmpty {
                if arguments.take("NX") {
                    isNew = true
                } else if arguments.take("PX") {
                    due = now + (try arguments.integer())
                } else if arguments.take("EX") {
                    due = now + 1000 * (try arguments.integer())
                } else {
                    throw .syntax
                }
            }
            if isNew, value(key) != nil { return .null }
            set(key, .text(text))
            expiries[key] = due
            return .ok
        default: return nil
        }
    }

    /// With `*` and `?`; no sets.
    private static func matches(_ text: ArraySlice<UInt8>, _ pattern: ArraySlice<UInt8>) -> Bool {
        guard let first = pattern.first else { return text.isEmpty }
        if first == UInt8(ascii: "*") {
            return matches(text, pattern.dropFirst()) || !text.isEmpty && matches(text.dropFirst(), pattern)
        }
        guard let letter = text.first, first == UInt8(ascii: "?") || first == letter else { return false }
        return matches(text.dropFirst(), pattern.dropFirst())
    }

    // MARK: - Hashes

    private func hash(_ key: String) throws(MemoryError) -> [Bytes: Bytes] {
        switch value(key) {
        case .hash(let fields): return fields
        case nil: return [:]
        default: throw .wrongType
        }
    }

    private func hashes(_ arguments: inout MemoryArguments) throws(MemoryError) -> MemoryReply? {
        switch arguments.name {
        case "HGET":
            let fields = try hash(try arguments.text())
            return fields[try arguments.bytes()].map(MemoryReply.bulk) ?? .null
        case "HMGET":
            let fields = try hash(try arguments.text())
            return .array(arguments.all.map { fields[$0].map(MemoryReply.bulk) ?? .null })
        case "HGETALL":
            let fields = try hash(try arguments.text()).sorted { $0.key.lexicographicallyPrecedes($1.key) }
            return .array(fields.flatMap { [.bulk($0.key), .bulk($0.value)] })
        case "HKEYS":
            let names = try hash(try arguments.text()).keys.sorted { $0.lexicographicallyPrecedes($1) }
            return .array(names.map(MemoryReply.bulk))
        case "HLEN": return .integer(try hash(try arguments.text()).count)
        case "HSET", "HSETNX":
            let key = try arguments.text()
            var (fields, added) = (try hash(key), 0)
            guard !arguments.isEmpty, arguments.count % 2 == 0 else { throw .arguments(of: arguments.name) }
            while !arguments.isEmpty {
                let (name, value) = (try arguments.bytes(), try arguments.bytes())
                if fields[name] == nil { added += 1 } else if arguments.name == "HSETNX" { continue }
                fields[name] = value
            }
            set(key, .hash(fields))
            return .integer(added)
        case "HDEL":
            let key = try arguments.text()
            var fields = try hash(key)
            let removed = arguments.all.count { fields.removeValue(forKey: $0) != nil }
            set(key, fields.isEmpty ? nil : .hash(fields))
            return .integer(removed)
        default: return nil
        }
    }
}
