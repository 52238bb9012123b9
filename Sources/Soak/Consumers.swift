internal import FoundationEssentials
internal import Freshet
internal import FreshetTesting
internal import Glibc
internal import Synchronization

/// How a consumer's process is started: with this program, and this command of it.
protocol ConsumerSetting: Sendable {
    /// Where its journal is to be.
    var folder: String { get }
    /// The environment is all of the process's; nil is this one's.
    func command(name: String, journal: String) -> (arguments: [String], environment: [String: String]?)
}

/// The consumer processes of a proof.
final class Consumers: Sendable {
    struct Setting: ConsumerSetting {
        let url: String
        let folder: String
        let partitions: Int
        let lease: Duration
        let groups: [String]
        let failures: Int
        let longest: Int
        var concurrency = 64
        var limits: [Int] = []
        var hang = 0
        var storm: String?

        func command(name: String, journal: String) -> (arguments: [String], environment: [String: String]?) {
            let arguments = [
                "consumer", "--url", url, "--partitions", "\(partitions)", "--journal", journal,
                "--lease", "\(lease.inSeconds)", "--name", name, "--groups", groups.joined(separator: ","),
                "--failures", "\(failures)", "--longest", "\(longest)", "--concurrency", "\(concurrency)",
            ]
            let storm = storm.map { ["--storm", $0] } ?? []
            return (
                arguments + limits.flatMap { ["--limits", "\($0)"] } + ["--hang", "\(hang)"] + storm, nil
            )
        }
    }

    /// How one left that was asked to.
    struct Leaving {
        /// The number of its journal.
        let number: Int
        /// As in journals.
        let askedAt: Int
        let took: Duration
        let ending: ChildProcess.Ending
    }

    private struct State {
        var living: [(name: String, process: ChildProcess)] = []
        var journals: [String] = []
    }
    private let setting: any ConsumerSetting
    private let state = Mutex(State())

    init(_ setting: any ConsumerSetting) { self.setting = setting }

    /// A journal for each process that ever ran.
    var journals: [String] { state.withLock { $0.journals } }
    /// The names of those that run, or are frozen.
    var names: [String] { state.withLock { $0.living.map(\.name) } }
    var count: Int { names.count }

    func start() throws {
        let number = journals.count
        let (name, journal) = ("c\(number)", "\(setting.folder)/journal-\(number)")
        let (arguments, environment) = setting.command(name: name, journal: journal)
        let process = try ChildProcess(
            "/proc/self/exe", arguments, environment: environment, output: .inherited, errors: .inherited)
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

    /// As `leave`, and says how that went.
    func leaving(_ index: Int, within limit: Duration) async -> Leaving {
        let (name, child) = state.withLock { $0.living.remove(at: index % $0.living.count) }
        let (askedAt, began) = (Journal.now(), ContinuousClock.now)
        let ending = await child.stop(within: limit)
        return Leaving(
            number: Int(name.dropFirst()) ?? 0, askedAt: askedAt, took: ContinuousClock.now - began,
            ending: ending)
    }

    /// Whether all that live have begun to work: before that a signal finds nobody who would handle it.
    var areAllReady: Bool {
        names.allSatisfy { name in
            let journal = "\(setting.folder)/journal-\(name.dropFirst())"
            return (try? FileManager.default.attributesOfItem(atPath: journal)[.size] as? Int) ?? 0 > 0
        }
    }

    /// The most memory that one of those that run has had, in MiB.
    var mostMemory: Int {
        let ids = state.withLock { $0.living.map(\.process.id) }
        return ids.compactMap { id in
            let status = try? String(contentsOfFile: "/proc/\(id)/status", encoding: .utf8)
            let line = status?.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
            return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 / 1024 }
        }.max() ?? 0
    }

    /// Those that ended though nobody had asked them to.
    var unasked: [String] {
        state.withLock { $0.living.compactMap { one in one.process.ending.map { "\(one.name) \($0)" } } }
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

extension Duration {
    var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
