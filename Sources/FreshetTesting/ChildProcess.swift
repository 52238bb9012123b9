internal import FoundationEssentials
internal import Glibc
internal import Hiredis
internal import Synchronization

/// A process that this one started: signalled and awaited by its id.
///
/// Foundation's `Process` hands the calling thread's signal mask on, and Swift's threads block SIGTERM, so its children
/// cannot be asked to stop; here the mask and the handlers of the child are the default ones.
public final class ChildProcess: Sendable {
    /// How a process ended.
    public enum Ending: Sendable, Equatable {
        /// By itself, with this exit code.
        case exited(Int32)
        /// By this signal.
        case signalled(Int32)
    }

    /// Where a stream of the child goes.
    public enum Stream: Sendable {
        /// Nowhere; for input, an end of file at once.
        case null
        /// The same stream of this process.
        case inherited
        /// The file at this path; output is appended.
        case file(String)
    }

    /// A process that could not be started.
    public struct SpawnError: Error, CustomStringConvertible {
        /// The program and the reason.
        public let description: String
    }

    /// The process id.
    public let id: Int32
    private struct State {
        var ending: Ending?
        var waiters: [CheckedContinuation<Ending, Never>] = []
    }
    private let state = Guarded(State())

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - executable: its path.
    ///   - arguments: without the program's own name.
    ///   - environment: all of the child's environment; nil for this process's own.
    ///   - inNewGroup: whether a Ctrl-C on the terminal leaves the child alone.
    public init(
        _ executable: String, _ arguments: [String] = [], environment: [String: String]? = nil,
        input: Stream = .null, output: Stream = .null, errors: Stream = .null, inNewGroup: Bool = true
    ) throws(SpawnError) {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        for (descriptor, stream) in [(Int32(0), input), (1, output), (2, errors)] {
            let writing = O_WRONLY | O_CREAT | O_APPEND
            switch stream {
            case .inherited: break
            case .null: unsafe posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
            case .file(let path):
                unsafe posix_spawn_file_actions_addopen(
                    &actions, descriptor, path, descriptor == 0 ? O_RDONLY : writing, 0o600)
            }
        }
        // A test that runs in a process of its own has a pipe to its parent, which waits until nobody has it open: a child
        // that outlives that process must not have it.
        for descriptor in 3..<Int32(256) { unsafe posix_spawn_file_actions_addclose(&actions, descriptor) }
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        unsafe sigemptyset(&none)
        var all = sigset_t()
        unsafe sigfillset(&all)
        unsafe posix_spawnattr_setsigmask(&attributes, &none)
        unsafe posix_spawnattr_setsigdefault(&attributes, &all)
        let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (inNewGroup ? POSIX_SPAWN_SETPGROUP : 0)
        unsafe posix_spawnattr_setflags(&attributes, Int16(flags))

        let variables = (environment ?? ProcessInfo.processInfo.environment).map { "\($0.key)=\($0.value)" }
        var process = pid_t()
        let result = unsafe Self.withStrings([executable] + arguments) { argv in
            unsafe Self.withStrings(variables) { envp in
                unsafe posix_spawn(&process, executable, &actions, &attributes, argv, envp)
            }
        }
        guard result == 0 else {
            throw SpawnError(description: "\(executable): \(unsafe String(cString: strerror(result)))")
        }
        id = process
        reap()
    }

    /// How the process ended, or nil while it runs.
    public var ending: Ending? { state.withLock { $0.ending } }

    /// Sends a signal, if the process still runs.
    public func signal(_ number: Int32) {
        state.withLock { if $0.ending == nil { _ = kill(id, number) } }
    }

    /// Waits for the end of the process.
    @discardableResult
    public func wait() async -> Ending {
        await withCheckedContinuation { continuation in
            let ending = state.withLock { state in
                if state.ending == nil { state.waiters.append(continuation) }
                return state.ending
            }
            if let ending { continuation.resume(returning: ending) }
        }
    }

    /// Asks the process to stop (SIGTERM), kills it when it has not within the limit, and waits for its end.
    @discardableResult
    public func stop(within limit: Duration) async -> Ending {
        signal(SIGCONT)
        signal(SIGTERM)
        return await withTaskGroup(of: Void.self) { group in
            group.addTask {
                try? await Task.sleep(for: limit)
                if !Task.isCancelled { self.signal(SIGKILL) }
            }
            let ending = await wait()
            group.cancelAll()
            return ending
        }
    }

    private func reap() {
        let context = unsafe Unmanaged.passRetained(self).toOpaque()
        var thread = pthread_t()
        let result = unsafe pthread_create(
            &thread, nil,
            { context in
                guard let context = unsafe context else { return nil }
                unsafe Unmanaged<ChildProcess>.fromOpaque(context).takeRetainedValue().awaitEnd()
                return nil
            }, context)
        precondition(result == 0, "no thread left to wait for a child")
        pthread_detach(thread)
    }

    private func awaitEnd() {
        var information = unsafe siginfo_t()
        // Without reaping first: while the lock below is not held the id is still the child's, never a stranger's.
        while unsafe waitid(P_PID, id_t(id), &information, WEXITED | WNOWAIT) == -1 && errno == EINTR {}
        let waiters = state.withLock { state in
            var status: Int32 = 0
            while unsafe waitpid(id, &status, 0) == -1 && errno == EINTR {}
            let ending: Ending =
                status & 0x7f == 0 ? .exited((status >> 8) & 0xff) : .signalled(status & 0x7f)
            state.ending = ending
            defer { state.waiters = [] }
            return state.waiters.map { ($0, ending) }
        }
        for (waiter, ending) in waiters { waiter.resume(returning: ending) }
    }

    private static func withStrings<R>(
        _ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> R
    ) -> R {
        var pointers: [UnsafeMutablePointer<CChar>?] = unsafe strings.map { unsafe strdup($0) } + [nil]
        defer { unsafe pointers.forEach { unsafe free($0) } }
        return unsafe pointers.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { preconditionFailure("never empty") }
            return unsafe body(base)
        }
    }
}
