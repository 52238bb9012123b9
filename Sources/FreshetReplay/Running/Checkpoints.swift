internal import Freshet
internal import Hiredis

/// What stands at the server is not what this process put there: the server lost its last seconds (a
/// failover, a restart from an older snapshot), or another process has put more.
struct CheckpointMoved: Error, CustomStringConvertible {
    let description = "the server's checkpoint is not the one that was written last"
}

/// How far a replay has come with what it puts into the streams of a topic's partitions.
///
/// Each partition that is written to has a hash with the partition's tag: for each partition that is read the
/// last entry up to which everything is there that is to be there, and a count. A script compares it, puts
/// entries and moves it, in one step: entries are put only behind those that are there. A process that dies
/// leaves no gap, one that was frozen and writes once more after another has taken over writes nothing, and a
/// server that lost its last seconds is noticed by the next write.
struct Checkpoints: Sendable {
    private let broker: Broker
    /// The hashes' keys, and the streams', by the partition that is written to.
    private let keys: [String]
    private let streams: [String]
    /// Which replay brings the entries; nil for entries that are published as they were.
    private let replay: String?
    /// By the partition that is written to: the last entry of each partition read.
    private var marks: [[Int: StreamID]]
    private var counts: [Int]

    /// - Parameters:
    ///   - id: names the replay.
    ///   - group: whose redelivery stream is written to; nil for the topic's log.
    init(_ id: String, to topic: Topic, _ group: GroupName?, on broker: Broker) async throws(FreshetError) {
        self.broker = broker
        let partitions = (0..<topic.partitions).map { broker.keys(topic.name, $0) }
        keys = partitions.map { $0.replayed(id) }
        streams = partitions.map { keys in group.map { keys.redelivery($0) } ?? keys.events }
        replay = group == nil ? nil : id
        marks = keys.map { _ in [:] }
        counts = keys.map { _ in 0 }
        try await load()
    }

    /// How many entries were put there, by all processes.
    var count: Int { counts.reduce(0, +) }

    /// Up to where a partition's entries are in one that is written to.
    func mark(of source: Int, in target: Int) -> StreamID? { marks[target][source] }

    /// Up to where a partition's entries are wherever they are to be; nil for nowhere.
    func position(of source: Int) -> StreamID? {
        var least = StreamID.newest
        for mark in marks {
            guard let id = mark[source] else { return nil }
            least = min(least, id)
        }
        return least
    }

    /// Whether this entry stands in the partition that it goes to.
    func has(_ id: StreamID, of source: Int, in target: Int) -> Bool {
        marks[target][source].map { id <= $0 } ?? false
    }

    /// Reads what the server has, once what was sent to it before and not answered cannot run any more.
    mutating func load() async throws(FreshetError) {
        for (target, key) in keys.enumerated() {
            do { try await broker.client.endLostConnections(forKey: key) } catch { throw FreshetError(error) }
            let fields = try await broker.send(RedisCommand("HGETALL", key)).array.map(Array.init) ?? []
            (marks[target], counts[target]) = ([:], 0)
            for index in stride(from: 0, to: fields.count - 1, by: 2) {
                guard let name = fields[index].string else { continue }
                if name == "count" {
                    counts[target] = fields[index + 1].integer ?? 0
                } else if let source = Int(name), let id = fields[index + 1].streamID {
                    marks[target][source] = id
                }
            }
        }
    }

    /// The same, once the server answers; returns how many entries fewer it has.
    mutating func reload(_ failure: inout PassingFailure) async throws -> Int {
        let before = count
        while try await !isLoaded(&failure) {}
        return max(0, before - count)
    }

    private mutating func isLoaded(_ failure: inout PassingFailure) async throws -> Bool {
        do {
            try await load()
            return true
        } catch {
            try await failure.wait(error, at: count)
            return false
        }
    }

    // MARK: - Putting

    /// What puts these behind a mark, to be sent later; nil when there is no such call.
    func call(
        putting entries: ArraySlice<StreamEntry>, of source: Int, in target: Int, behind mark: StreamID?
    ) -> RedisPipeline? {
        let (lengths, count) = lengths(entries)
        guard !entries.isEmpty, lengths.allSatisfy({ $0 <= Self.mostArguments }) else { return nil }
        return Self.putting.call(keys: [keys[target], streams[target]], argumentCount: count) { command in
            write(entries, lengths, of: source, behind: mark, to: &command)
        }
    }

    /// Puts these there, without those that are; returns how many. Throws `CheckpointMoved`, and puts
    /// nothing, when the server has another mark than this one knows.
    ///
    /// - Parameter call: what puts all of them behind the mark that this one knows.
    mutating func put(
        _ entries: ArraySlice<StreamEntry>, of source: Int, in target: Int, by call: RedisPipeline? = nil
    ) async throws -> Int {
        // They come in the order of their ids.
        let missing = entries.drop { has($0.id, of: source, in: target) }
        guard let last = missing.last?.id else { return 0 }
        if let call, missing.count == entries.count {
            let reply = try await broker.client.send(call)[0]
            if reply.error?.remedy != .loadScript {
                try check(reply.get())
                note(last, missing.count, of: source, in: target)
                return missing.count
            }
        }
        var rest = missing
        let lengths = lengths(missing).lengths
        while let first = rest.first {
            let own = lengths[(rest.startIndex - missing.startIndex)...].prefix { $0 <= Self.mostArguments }
            if own.isEmpty {
                try await putLarge(first, of: source, in: target)
                rest = rest.dropFirst()
            } else {
                let page = rest.prefix(own.count)
                try await putPage(page, Array(own), of: source, in: target)
                rest = rest.dropFirst(own.count)
            }
        }
        return missing.count
    }

    private mutating func putPage(
        _ page: ArraySlice<StreamEntry>, _ lengths: [Int], of source: Int, in target: Int
    ) async throws {
        guard let last = page.last?.id else { return }
        let count = 3 + lengths.reduce(0) { $0 + 1 + $1 }
        let replies = try await Self.putting.run(
            on: broker.client, keys: [keys[target], streams[target]], argumentCount: count
        ) { command in
            write(page, lengths, of: source, behind: marks[target][source], to: &command)
        }
        try check(replies[0])
        note(last, page.count, of: source, in: target)
    }

    /// Lua cannot hand on so many arguments: the mark is compared first.
    private mutating func putLarge(_ entry: StreamEntry, of source: Int, in target: Int) async throws {
        try await advance([source: marks[target][source] ?? .zero], in: target)
        var pipeline = RedisPipeline()
        pipeline.append("MULTI")
        pipeline.appendCopy(of: entry, to: streams[target], replay: replay)
        pipeline.append("HSET", keys[target], "\(source)", entry.id)
        pipeline.append("HINCRBY", keys[target], "count", 1)
        pipeline.append("EXEC")
        var result: RedisReply?
        for reply in try await broker.client.send(pipeline) { result = try reply.get() }
        for reply in result?.array.map(Array.init) ?? [] { try reply.get() }
        note(entry.id, 1, of: source, in: target)
    }

    private func lengths(_ entries: ArraySlice<StreamEntry>) -> (lengths: [Int], arguments: Int) {
        let lengths = entries.map { $0.copyLength(replay: replay) }
        return (lengths, 3 + lengths.reduce(0) { $0 + 1 + $1 })
    }

    private func write(
        _ entries: ArraySlice<StreamEntry>, _ lengths: [Int], of source: Int, behind mark: StreamID?,
        to command: inout CommandWriter
    ) {
        command.append(source)
        command.append(mark?.description ?? "")
        (entries.last?.id ?? .zero).write(to: &command)
        for (entry, length) in zip(entries, lengths) {
            command.append(length)
            command.appendCopy(of: entry, replay: replay)
        }
    }

    private func check(_ reply: RedisReply) throws {
        guard reply.integer == 1 else { throw CheckpointMoved() }
    }

    private mutating func note(_ last: StreamID, _ count: Int, of source: Int, in target: Int) {
        marks[target][source] = last
        counts[target] += count
    }

    // MARK: - Marks

    /// Says that everything up to these entries is wherever it is to be; what stands already is compared.
    /// Throws `CheckpointMoved`.
    mutating func advance(_ passed: [Int: StreamID]) async throws {
        for target in keys.indices { try await advance(passed, in: target) }
    }

    /// The same of one partition that is written to.
    mutating func advance(_ passed: [Int: StreamID], in target: Int) async throws {
        var arguments: [any RedisArgument] = []
        var next = marks[target]
        for (source, id) in passed.sorted(by: { $0.key < $1.key }) {
            let known = marks[target][source]
            let mark = max(known ?? .zero, id)
            guard known != nil || mark > .zero else { continue }
            arguments += ["\(source)", known?.description ?? "", mark]
            next[source] = mark
        }
        guard !arguments.isEmpty else { return }
        try check(await Self.advancing.run(on: broker.client, keys: [keys[target]], arguments: arguments))
        marks[target] = next
    }

    /// Throws `CheckpointMoved` when the server does not have what was put.
    mutating func compare() async throws {
        for target in keys.indices { try await advance(marks[target], in: target) }
    }

    /// Forgets everything: the replay is over.
    func remove() async throws(FreshetError) {
        for key in keys { _ = try await broker.send(RedisCommand("DEL", key)) }
    }

    /// An entry of more names and values than Lua's `unpack` can take.
    private static let mostArguments = 7000

    /// KEYS hash stream; ARGV source, mark or '', the new mark, and for each entry how many arguments follow,
    /// these. Returns 1, or 0 when the server has another mark: then nothing was done.
    private static let putting = RedisScript(
        """
        if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
        local i, count = 4, 0
        while i <= #ARGV do
          local last = i + tonumber(ARGV[i])
          redis.call('XADD', KEYS[2], '*', unpack(ARGV, i + 1, last))
          i, count = last + 1, count + 1
        end
        redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
        redis.call('HINCRBY', KEYS[1], 'count', count)
        redis.call('EXPIRE', KEYS[1], 7776000)
        return 1
        """)

    /// KEYS hash; ARGV for each source: its name, mark or '', the new mark. Returns 1, or 0 when the server
    /// has another mark: then nothing was done.
    private static let advancing = RedisScript(
        """
        for i = 1, #ARGV, 3 do
          if (redis.call('HGET', KEYS[1], ARGV[i]) or '') ~= ARGV[i + 1] then return 0 end
        end
        for i = 1, #ARGV, 3 do
          if ARGV[i + 2] ~= ARGV[i + 1] then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2]) end
        end
        redis.call('EXPIRE', KEYS[1], 7776000)
        return 1
        """)
}
