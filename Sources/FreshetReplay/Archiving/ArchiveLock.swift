internal import Freshet
internal import Glibc
internal import Hiredis

/// Sees to it that one process at a time archives a topic: by a key in Redis that expires with its holder, and by a lock on
/// the folder, which the system gives back when its holder dies.
final class ArchiveLock {
    private let broker: Broker
    private let topic: TopicName
    private let holder: String
    private var descriptor: Int32
    private var renewed = ContinuousClock.now

    private static let lease = Duration.seconds(10)

    private init(_ broker: Broker, _ topic: TopicName, _ holder: String, _ descriptor: Int32) {
        self.broker = broker
        self.topic = topic
        self.holder = holder
        self.descriptor = descriptor
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Takes both. Throws `locked`, with the name of the holder, when another archiver has one of them.
    static func take(_ broker: Broker, _ topic: TopicName, folder: String) async throws -> ArchiveLock {
        let descriptor = unsafe open("\(folder)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw ArchiveStorage.failure("cannot write to '\(folder)'") }
        // A mounted bucket may have no such locks.
        var isFolderOurs = true
        // A program that this process is just starting has the descriptor, and with it the lock, for a moment longer.
        var tries = 0
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            if errno == EWOULDBLOCK, tries < 40 {
                tries += 1
                try await Task.sleep(for: .milliseconds(25))
                continue
            }
            guard errno != EWOULDBLOCK else {
                close(descriptor)
                throw ArchiveError(.locked, "another process archives to '\(folder)'")
            }
            isFolderOurs = false
            break
        }
        let place = "\(Host.name) to \(realPath(folder))"
        let lock = ArchiveLock(
            broker, topic, "\(place), process \(getpid()) (\(UInt32.random(in: 0 ... .max)))", descriptor)
        // Whoever held the key for the same folder on this host is dead: the folder would be locked.
        let other = try await lock.claim(overriding: isFolderOurs ? "\(place), process " : lock.holder)
        guard other.isEmpty else {
            throw ArchiveError(.locked, "the topic '\(topic)' is archived by \(other)")
        }
        return lock
    }

    /// Keeps it. Throws `locked` when another archiver has it by now: then nothing must be written any more.
    func renew(force: Bool = false) async throws {
        guard force || ContinuousClock.now - renewed > Self.lease / 3 else { return }
        let other = try await claim(overriding: holder)
        guard other.isEmpty else {
            throw ArchiveError(.locked, "the topic '\(topic)' was taken over by \(other)")
        }
    }

    /// Gives it back.
    func release() async {
        _ = try? await Self.releasing.run(on: broker.client, keys: [key], arguments: [holder])
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
    }

    private var key: String { "\(broker.namespace):archiver:{\(topic)}" }

    private func claim(overriding prefix: String) async throws -> String {
        let now = ContinuousClock.now
        let reply = try await Self.claiming.run(
            on: broker.client, keys: [key],
            arguments: [holder, Int(Self.lease.components.seconds * 1000), prefix])
        renewed = now
        return reply.string ?? ""
    }

    private static func realPath(_ path: String) -> String {
        guard let resolved = unsafe realpath(path, nil) else { return path }
        defer { unsafe free(resolved) }
        return unsafe String(cString: resolved)
    }

    /// KEYS lock; ARGV holder, milliseconds, what a holder begins with that is dead. Returns who else has it, or ''.
    private static let claiming = RedisScript(
        """
        local other = redis.call('GET', KEYS[1])
        if other and string.sub(other, 1, #ARGV[3]) ~= ARGV[3] then return other end
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        return ''
        """)

    private static let releasing = RedisScript(
        "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")
}
