internal import Freshet
internal import FreshetTesting
internal import Glibc
internal import Synchronization

/// The consumer processes of a proof.
final class Consumers: Sendable {
    struct Setting: Sendable {
        let url: String
        let folder: String
        let partitions: Int
        let lease: Duration
        let groups: [String]
        let failures: Int
        let longest: Int
        var concurrency = 64
    }

    private struct State {
        var living: [(name: String, process: ChildProcess)] = []
        var journals: [String] = []
    }
    private let setting: Setting
    private let state = Mutex(State())

    init(_ setting: Setting) { self.setting = setting }

    /// A journal for each process that ever ran.
    var journals: [String] { state.withLock { $0.journals } }
    /// The names of those that run, or are frozen.
    var names: [String] { state.withLock { $0.living.map(\.name) } }
    var count: Int { names.count }

    func start() throws {
        let number = journals.count
        let (name, journal) = ("c\(number)", "\(setting.folder)/journal-\(number)")
        let seconds =
            Double(setting.lease.components.seconds) + Double(setting.lease.components.attoseconds) / 1e18
        let process = try ChildProcess(
            "/proc/self/exe",
            [
                "consumer", "--url", setting.url, "--partitions", "\(setting.partitions)", "--journal",
                journal,
                "--lease", "\(seconds)", "--name", name, "--groups", setting.groups.joined(separator: ","),
                "--failures", "\(setting.failures)", "--longest", "\(setting.longest)", "--concurrency",
                "\(setting.concurrency)",
            ], output: .inherited, errors: .inherited)
        state.withLock { state in
            state.living.append((name, process))
            state.journals.append(journal)
        }
    }

    /// Ends one at once, and waits for its end.
    func kill(_ index: Int) async {
        let child = state.withLock { $0.living.remove(at: index % $0.living.count).process }
        child.signal(SIGKILL)
        await child.wait()
    }

    /// Has one leave in good order.
    func leave(_ index: Int) async {
        let child = state.withLock { $0.living.remove(at: index % $0.living.count).process }
        await child.stop(within: .seconds(40))
    }

    /// Freezes one for so long.
    func freeze(_ index: Int, for time: Duration) async throws {
        let child = state.withLock { $0.living[index % $0.living.count].process }
        child.signal(SIGSTOP)
        defer { child.signal(SIGCONT) }
        try await Task.sleep(for: time)
    }

    func leaveAll() async {
        let children = state.withLock { state in
            defer { state.living = [] }
            return state.living.map(\.process)
        }
        await withTaskGroup(of: Void.self) { tasks in
            for child in children { tasks.addTask { await child.stop(within: .seconds(40)) } }
        }
    }
}
