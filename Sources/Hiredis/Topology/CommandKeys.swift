/// Finds the commands in a pipeline's bytes, and the first key of each: what a cluster needs to know to send them on.
struct CommandScanner {
    private let bytes: [UInt8]
    private var position = 0

    init(_ pipeline: RedisPipeline) { bytes = pipeline.bytes }

    /// One command: where it stands, and its slot unless it has no key.
    struct Command {
        let range: Range<Int>
        let slot: Int?
        /// The command's name in upper case.
        let name: String
    }

    /// The next command, or nil at the end. What is read was written by `CommandWriter`, so it is well-formed.
    mutating func next() -> Command? {
        guard position < bytes.count else { return nil }
        let start = position
        let count = header()
        var arguments: [Range<Int>] = []
        arguments.reserveCapacity(min(count, 8))
        for _ in 0..<count {
            let length = header()
            arguments.append(position..<(position + length))
            position += length + 2
        }
        let name = text(arguments[0]).uppercased()
        let key = Self.keyPosition(in: name, count: arguments.count) { text(arguments[$0]) }
        let slot = key.map { HashSlot.of(bytes[arguments[$0]]) }
        return Command(range: start..<position, slot: slot, name: name)
    }

    private func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

    /// Reads `*12` or `$12` and the end of its line.
    private mutating func header() -> Int {
        position += 1
        var number = 0
        while bytes[position] != UInt8(ascii: "\r") {
            number = number * 10 + Int(bytes[position] - UInt8(ascii: "0"))
            position += 1
        }
        position += 2
        return number
    }

    /// Where the first key of a command stands, or nil when it has none.
    ///
    /// From the servers' own table (`COMMAND LIST` with key specifications, Redis 7.0 to 8.6): nearly all commands have
    /// their first key behind the name, these are the others.
    static func keyPosition(in name: String, count: Int, argument: (Int) -> String) -> Int? {
        let position: Int?
        switch name {
        case "PING", "ECHO", "INFO", "TIME", "ROLE", "HELLO", "AUTH", "RESET", "QUIT", "CLIENT", "CONFIG",
            "COMMAND",
            "CLUSTER", "ASKING", "READONLY", "READWRITE", "SCRIPT", "FUNCTION", "ACL", "SLOWLOG", "LATENCY",
            "MONITOR",
            "MODULE", "DEBUG", "SHUTDOWN", "SAVE", "BGSAVE", "BGREWRITEAOF", "LASTSAVE", "DBSIZE", "KEYS",
            "SCAN",
            "RANDOMKEY", "FLUSHALL", "FLUSHDB", "SWAPDB", "SELECT", "WAIT", "WAITAOF", "MULTI", "EXEC",
            "DISCARD",
            "UNWATCH", "PUBLISH", "SUBSCRIBE", "PSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "PUBSUB",
            "REPLICAOF",
            "FAILOVER", "LOLWUT":
            position = nil
        case "XGROUP", "XINFO", "OBJECT", "BITOP": position = 2
        case "MEMORY": position = count > 2 ? 2 : nil
        case "MIGRATE": position = 3
        case "XREAD", "XREADGROUP":
            position = (1..<count).first { argument($0).uppercased() == "STREAMS" }.map { $0 + 1 }
        case "EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO":
            position = count > 2 && (Int(argument(2)) ?? 0) > 0 ? 3 : nil
        case "ZUNION", "ZINTER", "ZDIFF", "ZINTERCARD", "SINTERCARD", "LMPOP", "ZMPOP": position = 2
        case "BLMPOP", "BZMPOP": position = 3
        default: position = 1
        }
        return position.flatMap { $0 < count ? $0 : nil }
    }
}
