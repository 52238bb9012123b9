internal import Freshet
internal import Glibc
internal import Hiredis

/// A key that one process holds: it keeps it by renewing it, and loses it within ten seconds of its death.
///
/// A process that was frozen may act once more after another has taken over; see `Checkpoints` for why that
/// does no harm. So may one whose server has lost the key with its last seconds: it takes it again, unless
/// another did.
struct ReplayLock: Sendable {
    static let life = Duration.seconds(10)
    private static let renewal = Duration.seconds(2)

    /// Names this holding, unlike any other.
    let run = EventID.make()
    private let key: String
    private let broker: Broker
    private let token: String
    private var renewed = ContinuousClock.now

    /// Takes the key. Throws `busy`, with who holds it, when a process does that lives.
    init(_ key: String, on broker: Broker) async throws(FreshetError) {
        (self.key, self.broker) = (key, broker)
        token = "\(Host.name) \(getpid()) \(Self.processes) \(run)"
        for _ in 0..<2 {
            renewed = .now
            let taken = try await broker.send(
                RedisCommand("SET", key, token, "NX", "PX", "\(Self.life.inMilliseconds)"))
            if !taken.isNull { return }
            guard let holder = try await broker.send(RedisCommand("GET", key)).string else { continue }
            guard Self.isDead(holder) else {
                let parts = holder.split(separator: " ")
                throw FreshetError(
                    .busy,
                    "a replay to this target is under way (process \(parts.dropFirst().first ?? "?") on \(parts.first ?? "?")): wait for it, or cancel it"
                )
            }
            _ = try await broker.run(Self.removal, keys: [key], holder)
        }
        throw FreshetError(.busy, "others want to replay to this target as well: try again")
    }

    /// Whether this run holds it.
    static func isHeld(_ key: String, by run: String, on broker: Broker) async throws(FreshetError) -> Bool {
        guard let holder = try await broker.send(RedisCommand("GET", key)).string else { return false }
        return !isDead(holder) && holder.hasSuffix(" \(run)")
    }

    /// Keeps the key when that is due. Throws `busy` when it was lost.
    mutating func keep() async throws(FreshetError) {
        guard ContinuousClock.now - renewed > Self.renewal else { return }
        let now = ContinuousClock.now
        try await hold()
        renewed = now
    }

    /// Holds the key for another ten seconds, also one that lapsed or that the server has lost. Throws `busy`
    /// when another has it.
    func hold() async throws(FreshetError) {
        let reply = try await broker.run(
            Self.keeping, keys: [key], token, "\(Self.life.inMilliseconds)")
        guard reply.integer == 1 else {
            throw FreshetError(.busy, "another process has taken this replay over")
        }
    }

    /// Gives the key back, also when its task was cancelled.
    func release() async {
        let (broker, key, token) = (broker, key, token)
        await Task { _ = try? await broker.run(Self.removal, keys: [key], token) }.value
    }

    /// A process of this machine that is not there any more. Of another machine's nobody here knows.
    private static func isDead(_ holder: String) -> Bool {
        let parts = holder.split(separator: " ")
        guard parts.count == 4, parts[0] == Host.name, parts[2] == processes, let id = pid_t(parts[1]) else {
            return false
        }
        return kill(id, 0) == -1 && errno == ESRCH
    }

    /// The namespace that process ids are counted in: a container has its own.
    private static let processes: String = {
        var name = [CChar](repeating: 0, count: 64)
        let count = unsafe readlink("/proc/self/ns/pid", &name, 63)
        return String(
            decoding: name.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }()

    /// KEYS key; ARGV token milliseconds. It is taken again when it has lapsed.
    private static let keeping = RedisScript(
        """
        local holder = redis.call('GET', KEYS[1])
        if holder and holder ~= ARGV[1] then return 0 end
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        return 1
        """)

    /// KEYS key; ARGV token.
    private static let removal = RedisScript(
        "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")
}
