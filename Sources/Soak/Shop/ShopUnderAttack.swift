internal import FoundationEssentials
internal import Freshet
internal import FreshetRecords
internal import FreshetTesting
internal import Glibc
internal import Hiredis

/// The shop's own programs on servers of the proof's.
struct ShopUnderAttack: Sendable {
    let server: LocalRedisServer
    let database: LocalPostgres?
    let ordering: Ordering
    let folder: String
    private let programs: String

    init(server: LocalRedisServer, database: LocalPostgres?, ordering: Ordering = .any) throws {
        (self.server, self.database, self.ordering) = (server, database, ordering)
        folder = "\(server.folder)/shop"
        programs = Programs.ownFolder
        for name in ["shop", "order-worker", "customer-worker", "payment-worker"]
        where Programs.beside(name) == nil {
            throw SoakError("'\(programs)/\(name)' is not there: build it too (make soak)")
        }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    var orders: String { "\(folder)/orders.csv" }
    private var data: String { "\(folder)/data" }

    /// Writes so many orders, of which the seed says the customers and the baskets; where.
    @discardableResult
    func writeOrders(_ count: Int, seed: UInt64, from first: Int = 0) throws -> String {
        let path = first == 0 ? orders : "\(folder)/orders-from-\(first).csv"
        var random = Seeded(seed)
        var text = "order_id,customer_id,name,email,placed_at,sku,quantity,amount,currency,payment_token\n"
        for number in first..<first + count {
            let token =
                switch random.next() % 100 {
                case 0...2: "tok_declined"
                case 3: "tok_flaky"
                default: "tok_visa"
                }
            let customer = random.next() % UInt64(max(1, count / 4))
            let time = Timestamp(milliseconds: 1_700_000_000_000 + Int64(number) * 1000)
            for line in 0...Int(random.next() % 3) {
                let cents = random.next() % 10_000
                text += "o\(number),c\(customer),Ada \(customer),a@example.com,\(time),sku\(line),1,"
                text += "\(cents / 100).\(cents % 100 < 10 ? "0" : "")\(cents % 100),EUR,\(token)\n"
            }
        }
        try text.write(toFile: path, atomically: false, encoding: .utf8)
        return path
    }

    /// - Parameter programs: where the program stands, when it is not beside this one.
    func start(
        _ command: String, _ arguments: [String], log: String, drill: String = "", of programs: String? = nil,
        environment own: [String: String] = [:]
    ) throws -> ChildProcess {
        var environment = ProcessInfo.processInfo.environment.merging(own) { $1 }
        environment["FRESHET_LEASE"] = "\(ShopCommand.lease.components.seconds)"
        environment["FRESHET_ORDERING"] = ordering.rawValue
        environment["FRESHET_DRILL"] = drill
        environment["LOG_LEVEL"] = "debug"
        let all = [command, "--data", data, "--redis-url", server.url] + arguments
        return try ChildProcess(
            "\(programs ?? self.programs)/shop", all, environment: environment,
            output: .file("\(folder)/\(log).out"), errors: .file("\(folder)/\(log).err"))
    }

    /// A worker alone, of these programs.
    func worker(_ service: String, log: String, of programs: String? = nil) throws -> ChildProcess {
        var environment = ProcessInfo.processInfo.environment
        environment.merge([
            "REDIS_URL": server.url, "FRESHET_NAMESPACE": "shop", "FRESHET_LEASE": "2", "LOG_FORMAT": "json",
            "DATABASE_URL": databaseURL(of: service), "PAYMENT_PROVIDER_LEDGER": databaseURL(of: "provider"),
        ]) { $1 }
        try FileManager.default.createDirectory(atPath: "\(data)/logs", withIntermediateDirectories: true)
        return try ChildProcess(
            "\(programs ?? self.programs)/\(service)-worker", [], environment: environment,
            errors: .file("\(data)/logs/\(log).log"))
    }

    /// As `shop up` lays it out.
    private func databaseURL(of service: String) -> String {
        database.map { "\($0.url)&options=-csearch_path%3Dshop_\(service)" } ?? "sqlite:\(data)/\(service).db"
    }

    /// Runs a tool of the shop's namespace.
    func tool(_ name: String, _ arguments: [String]) async throws -> ChildProcess.Ending {
        let child = try ChildProcess(
            "\(programs)/\(name)", arguments + ["--redis-url", server.url, "--namespace", "shop"],
            output: .file("\(folder)/\(name).out"), errors: .file("\(folder)/\(name).err"))
        return try await ending(of: child, within: .seconds(60))
    }

    func up(
        replicas: Int, drill: String = "", settling: Bool = false, of programs: String? = nil,
        environment: [String: String] = [:]
    ) throws -> ChildProcess {
        let workers = ["order", "customer", "payment"].map { "\($0)=\(replicas)" }.joined(separator: ",")
        let records = database.map { ["--database-url", $0.url] } ?? []
        return try start(
            "up", ["--workers", workers] + records + (settling ? ["--exit-when-settled"] : []),
            log: settling ? "settle" : "up", drill: drill, of: programs, environment: environment)
    }

    /// Runs the shop without drills until nothing is left to do.
    func settle(replicas: Int, within limit: Duration, of programs: String? = nil) async throws
        -> ChildProcess.Ending
    {
        try await ending(of: up(replicas: replicas, settling: true, of: programs), within: limit)
    }

    func verify(inOrder: Bool) async throws -> (ending: ChildProcess.Ending, text: String) {
        let ending = try await ending(
            of: start("verify", inOrder ? ["--in-order"] : [], log: "verify"), within: .seconds(240))
        return (ending, log("verify"))
    }

    func ending(of child: ChildProcess, within limit: Duration) async throws -> ChildProcess.Ending {
        let deadline = ContinuousClock.now + limit
        while child.ending == nil, ContinuousClock.now < deadline {
            try await Task.sleep(for: .milliseconds(100))
        }
        // It takes its workers along.
        if child.ending == nil {
            return await child.stop(within: .seconds(40)) == .exited(0)
                ? .signalled(SIGTERM) : .signalled(SIGKILL)
        }
        return await child.wait()
    }

    func groups() async throws -> [GroupReport] {
        let client = RedisClient(try RedisConfiguration(url: server.url))
        defer { client.close() }
        return try await Broker(client, namespace: "shop").groupReports()
    }

    /// How many events wait for their time.
    func scheduledCount() async throws -> Int {
        let client = RedisClient(try RedisConfiguration(url: server.url))
        defer { client.close() }
        let broker = Broker(client, namespace: "shop")
        var count = 0
        for topic in ["orders", "payments", "customers"] as [TopicName] {
            let key = broker.keys(topic, 0).scheduled
            count += try await client.send(RedisCommand("ZCARD", key)).integer ?? 0
        }
        return count
    }

    /// How many events wait in outboxes.
    func unpublishedCount() async throws -> Int {
        var count = 0
        for service in ["order", "customer", "payment"] {
            count += try await RecordsDatabase.look(url: databaseURL(of: service)).unpublished
        }
        return count
    }

    func eventually(within limit: Duration, _ isSo: () async throws -> Bool) async throws -> Bool {
        let deadline = ContinuousClock.now + limit
        while ContinuousClock.now < deadline {
            if try await isSo() { return true }
            try await Task.sleep(for: .milliseconds(100))
        }
        return false
    }

    // MARK: - What they wrote

    /// Output and errors of a program.
    func log(_ name: String) -> String {
        ["out", "err"].map { (try? String(contentsOfFile: "\(folder)/\(name).\($0)", encoding: .utf8)) ?? "" }
            .joined()
    }

    private var workerLogs: [String] {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: "\(data)/logs")) ?? []
        return files.compactMap { try? String(contentsOfFile: "\(data)/logs/\($0)", encoding: .utf8) }
    }

    /// Whether the worker with this log has come so far that it handles signals.
    func hasStarted(_ log: String) -> Bool {
        let text = (try? String(contentsOfFile: "\(data)/logs/\(log).log", encoding: .utf8)) ?? ""
        return text.contains("\"started\"")
    }

    /// In how many lines of the workers' logs this stands.
    func count(_ text: String) -> Int {
        workerLogs.reduce(0) { $0 + $1.split(separator: "\n").count { $0.contains(text) } }
    }

    /// The sum of a field over the lines of the workers' logs in which this stands.
    func sum(_ field: String, where text: String) -> Int {
        workerLogs.reduce(0) { sum, log in
            log.split(separator: "\n").filter { $0.contains(text) }.reduce(sum) { sum, line in
                let rest = line.firstRange(of: "\"\(field)\":\"").map { line[$0.upperBound...] } ?? ""
                return sum + (Int(rest.prefix { $0.isNumber }) ?? 0)
            }
        }
    }

    /// How often a process died or froze at which step.
    var drills: [String: Int] {
        var counts: [String: Int] = [:]
        for log in workerLogs {
            for line in log.split(separator: "\n") {
                guard let range = line.firstRange(of: "drill: ") else { continue }
                counts[String(line[range.upperBound...]), default: 0] += 1
            }
        }
        return counts
    }

    /// Keeps the files for someone who looks into it; where.
    func keep() -> String {
        let kept = "/tmp/soak-\(getpid())"
        try? FileManager.default.copyItem(atPath: folder, toPath: kept)
        return kept
    }
}
