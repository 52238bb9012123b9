internal import ArgumentParser
internal import FoundationEssentials
internal import Freshet
internal import FreshetRecords
internal import FreshetTesting
internal import Hiredis

/// Workers of one group on a stage's topic.
struct WorkerSetting: ConsumerSetting {
    let stage: Stage
    let ordering: Ordering
    let concurrency: Int
    /// How long a handler waits, in milliseconds.
    let wait: ClosedRange<Int>
    var lease = Duration.seconds(10)
    var drainTimeout = Duration.seconds(25)
    /// Where handlers have their effects; nil for handlers that only wait.
    let databaseURL: String?

    var folder: String { stage.server.folder }
    var group: GroupName { ordering == .perKey ? "keyed" : "free" }

    func command(name: String, journal: String) -> (arguments: [String], environment: [String: String]?) {
        var environment = ProcessInfo.processInfo.environment
        environment.merge([
            "REDIS_URL": stage.server.url, "FRESHET_CONSUMER": name, "FRESHET_GROUP": group.rawValue,
            "FRESHET_ORDERING": ordering.rawValue, "FRESHET_CONCURRENCY": "\(concurrency)",
            "FRESHET_LEASE": "\(lease.inSeconds)", "FRESHET_DRAIN_TIMEOUT": "\(drainTimeout.inSeconds)",
            "DATABASE_URL": databaseURL ?? "sqlite:\(folder)/\(name).db",
            "LOG_LEVEL": environment["LOG_LEVEL"] ?? "error",
        ]) { $1 }
        let arguments = [
            "worker", "--partitions", "\(stage.topic.partitions)", "--journal", journal,
            "--shortest", "\(wait.lowerBound)", "--longest", "\(wait.upperBound)",
        ]
        return (arguments + (databaseURL == nil ? ["--no-effects"] : []), environment)
    }
}

/// Where records are.
enum RecordsStore: String, CaseIterable, ExpressibleByArgument {
    case sqlite, postgres

    /// Runs the body with a function that says where the records are, for a folder of files.
    func with<R>(_ body: ((String) -> String) async throws -> R) async throws -> R {
        switch self {
        case .sqlite: try await body { "sqlite:\($0)/effects.db" }
        case .postgres:
            try await withPostgres(LocalPostgres(options: ["-c", "max_connections=300"])) { server in
                try await body { _ in server.url }
            }
        }
    }
}

/// Keeps so many events waiting for a group, so that all workers have something to do.
actor Feeder {
    private(set) var published: Set<String> = []
    private var isStopped = false

    func stop() { isStopped = true }

    func run(_ stage: Stage, _ group: GroupName, level: Int, keys: Int) async throws {
        while !isStopped && !Task.isCancelled {
            let reports = try await stage.broker.groupReports(topic: stage.topic.name, group: group)
            let missing = level - reports.reduce(0) { $0 + $1.waiting }
            if missing > level / 10 {
                published.formUnion(try await stage.work.publish(missing, keys: keys, from: published.count))
            }
            try await Task.sleep(for: .milliseconds(50))
        }
    }
}

/// How long this machine leaves a process alone that has something to do: what others do on it is no fault of what is proved.
actor Stalls {
    /// The longest, beyond what was asked for.
    private(set) var longest = Duration.zero

    /// Looks until it is cancelled.
    func watch() async {
        while !Task.isCancelled {
            let began = ContinuousClock.now
            guard (try? await Task.sleep(for: .milliseconds(5))) != nil else { return }
            longest = max(longest, ContinuousClock.now - began - .milliseconds(5))
        }
    }
}

/// What the records say: every event that was published had its effect, once.
struct RecordedEffects {
    let missing: Set<String>
    let doubled: [String]

    init(of published: Set<String>, in url: String) async throws {
        let rows = try await RecordsDatabase.open(url: url).read {
            try $0.query("SELECT event, COUNT(*) AS times FROM effects GROUP BY event")
        }
        missing = published.subtracting(rows.compactMap { $0.text("event") })
        doubled = rows.filter { $0.integer("times") != 1 }.compactMap { $0.text("event") }
    }
}

/// Times in microseconds.
struct Spread: CustomStringConvertible {
    private let sorted: [Int]

    init(_ times: [Int]) { sorted = times.sorted() }

    var count: Int { sorted.count }

    func percentile(_ percent: Int) -> Int {
        sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, sorted.count * percent / 100)]
    }

    var description: String {
        guard let last = sorted.last else { return "none" }
        func text(_ micros: Int) -> String { "\(micros / 1000).\(micros / 100 % 10) ms" }
        return "p50 \(text(percentile(50))), p99 \(text(percentile(99))), most \(text(last)) (\(count))"
    }
}
