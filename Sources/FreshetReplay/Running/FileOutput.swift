internal import Freshet
internal import Glibc
internal import Hiredis

/// Writes a replay's events to a file, a line of JSON each. After a crash the file is cut to what was noted last, and goes on there.
struct FileOutput: ReplayOutput {
    private let plan: ReplayPlan
    private let broker: Broker
    private let lock: ReplayLock
    private let path: String
    private let descriptor: FileDescriptor
    private var size: Int
    private var buffer: [UInt8] = []
    private(set) var positions: [Int: StreamID]
    private(set) var count: Int
    /// The file is this machine's: no server loses it.
    let lost = 0

    /// A file that closes itself.
    private final class FileDescriptor: Sendable {
        let number: Int32
        init(_ number: Int32) { self.number = number }
        deinit { close(number) }
    }

    init(_ plan: ReplayPlan, to path: String, _ lock: ReplayLock, on broker: Broker) async throws {
        (self.plan, self.lock, self.broker, self.path) = (plan, lock, broker, path)
        let job = try await broker.replay(plan.id)
        let key = broker.namespace.replayKey(plan.id)
        positions = [:]
        for part in plan.parts {
            let place = try await broker.send(RedisCommand("HGET", key, "at:\(part.partition)"))
            positions[part.partition] = place.streamID
        }
        size = try await broker.send(RedisCommand("HGET", key, "size")).integer ?? 0
        count = size == 0 ? 0 : job.done
        // A file that is there already, and not of this replay, is somebody's.
        let flags =
            size > 0 ? O_WRONLY : job.started == nil ? O_WRONLY | O_CREAT | O_EXCL : O_WRONLY | O_CREAT
        let number = unsafe open(path, flags | O_CLOEXEC, 0o644)
        guard number >= 0 else { throw Self.error("cannot write", path) }
        descriptor = FileDescriptor(number)
        guard lseek(number, 0, SEEK_END) >= off_t(size) else {
            throw FreshetError(
                .refused, "'\(path)' has become shorter than what was written: plan another replay")
        }
        guard ftruncate(number, off_t(size)) == 0 else {
            throw Self.error("cannot go on with", path)
        }
    }

    mutating func put(_ entries: ArraySlice<StreamEntry>, of source: Int) async throws -> Int {
        for entry in entries {
            HistoryLine.append(entry, topic: plan.topic, partition: source, to: &buffer)
        }
        count += entries.count
        positions[source] = entries.last?.id ?? positions[source]
        if buffer.count > 1 << 20 { try flush() }
        return entries.count
    }

    mutating func save() async throws {
        try flush()
        guard fsync(descriptor.number) == 0 else { throw Self.error("cannot write", path) }
        var fields = ["size": "\(size)", "done": "\(count)"]
        for (partition, id) in positions { fields["at:\(partition)"] = id.description }
        _ = try await broker.tell(plan, by: lock, fields)
    }

    /// What the server has lost of where the file stands is said again by the next `save`.
    mutating func recover() async throws {}

    mutating func finish() async throws { try await save() }

    private mutating func flush() throws {
        var written = 0
        while written < buffer.count {
            let count = unsafe buffer.withUnsafeBytes { bytes in
                let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[written...])
                return unsafe pwrite(descriptor.number, rest.baseAddress, rest.count, off_t(size + written))
            }
            guard count >= 0 || errno == EINTR else { throw Self.error("cannot write", path) }
            written += max(0, count)
        }
        size += buffer.count
        buffer.removeAll(keepingCapacity: true)
    }

    private static func error(_ what: String, _ path: String) -> FreshetError {
        let reason = errno
        return FreshetError(.refused, "\(what) '\(path)': \(unsafe String(cString: strerror(reason)))")
    }
}
