import FoundationEssentials
import Freshet
import FreshetRecords
import FreshetTesting
import Glibc
import Hiredis
import Testing

/// The shop's workers on servers of one test, which are to lose something.
final class RecoveringShop {
    let server: LocalRedisServer
    let client: RedisClient
    let folder: Folder
    let runbook: Runbook
    private var workers: [String: Running] = [:]
    private var newService: Running?
    private var logsAreCut = false
    private var archive: String { "\(folder.path)/archive" }

    private init(_ server: LocalRedisServer, _ client: RedisClient, _ folder: Folder) throws {
        (self.server, self.client, self.folder) = (server, client, folder)
        runbook = try Runbook(server, folder)
    }

    /// Runs the body with all workers, which drain in the end; the shop is verified then.
    static func with(_ store: Store, _ body: (RecoveringShop) async throws -> Void) async throws {
        try await store.withFolder { folder in
            try await folder.makeData()
            try await withRedisServer { server in
                let client = RedisClient(try RedisConfiguration(url: server.url))
                defer { client.close() }
                let shop = try RecoveringShop(server, client, folder)
                try shop.start(WorkerTests.services)
                do {
                    try await body(shop)
                } catch {
                    for worker in shop.running { worker.child.signal(SIGKILL) }
                    throw error
                }
                try await shop.stop(Array(shop.workers.keys))
                if let newService = shop.newService { try await shop.drain(newService) }
                try await verifyShop(
                    folder, redisURL: server.url, archive: shop.logsAreCut ? shop.archive : nil)
            }
        }
    }

    private var running: [Running] { Array(workers.values) + (newService.map { [$0] } ?? []) }

    func start(_ services: [String]) throws {
        for service in services { workers[service] = try WorkerTests.start(service, [:], server, folder) }
    }

    func stop(_ services: [String]) async throws {
        for service in services {
            if let worker = workers.removeValue(forKey: service) { try await drain(worker) }
        }
    }

    private func drain(_ worker: Running) async throws {
        worker.child.signal(SIGTERM)
        let outcome = try await worker.outcome(within: .seconds(30))
        #expect(outcome.ending == .exited(0), "\(outcome.errors)")
    }

    /// A service that reads what the customer service reads, under a group and with a database of its own.
    func startNewService() async throws {
        try await folder.makeDatabase(of: "crm")
        newService = try Program.start(
            "customer-worker", [],
            environment: [
                "REDIS_URL": server.url, "DATABASE_URL": folder.databaseURL(of: "crm"),
                "FRESHET_GROUP": "crm",
            ], in: folder)
        try await eventually("its group is there") {
            try await self.client.send(RedisCommand("HGETALL", "shop:topic:{orders}")).array?
                .contains { $0.string == "start:crm:0" } == true
        }
    }

    /// Cuts the logs off, as retention does with what is archived.
    func cutLogs(to count: Int) async throws {
        for topic in ["orders", "payments", "customers"] {
            try await client.send(RedisCommand("XTRIM", "shop:events:{\(topic):0}", "MAXLEN", count))
        }
        logsAreCut = true
    }

    func loseDatabase(of service: String) async throws { try await folder.loseDatabase(of: service) }

    /// Places the orders of these rows of the demo data, without waiting.
    func placeOnly(_ rows: ClosedRange<Int>) async throws {
        let lines = try Demo.text().split(separator: "\n")
        let file = "\(folder.path)/orders-\(rows.lowerBound).csv"
        let text = ([lines[0]] + lines[rows]).joined(separator: "\n") + "\n"
        try text.write(toFile: file, atomically: false, encoding: .utf8)
        let placed = try await Program.run(
            "shop", ["place", "--orders", file, "--redis-url", server.url], in: folder)
        #expect(placed.ending == .exited(0), "\(placed.errors)")
    }

    /// Places them and waits until all is done.
    func place(_ rows: ClosedRange<Int>) async throws {
        try await placeOnly(rows)
        try await eventually("each order is decided", within: .seconds(90)) {
            let decided = try? await WorkerTests.rows(
                "SELECT count(*) AS n FROM orders WHERE status <> 'placed'", "order", self.folder)
            return decided?[0]["n"] == "\(rows.upperBound)"
        }
        try await settle()
    }

    /// Waits until no group and no outbox has anything left to do.
    func settle() async throws {
        try await eventually("all is settled", within: .seconds(90)) {
            guard try await self.groupsAreSettled(), try await self.outboxesAreEmpty() else { return false }
            // Published before the outboxes were looked at.
            return try await self.groupsAreSettled()
        }
    }

    private func groupsAreSettled() async throws -> Bool {
        let broker = Broker(client, namespace: "shop")
        let groups = try await broker.groupReports()
        return groups.count >= 5 && groups.allSatisfy(\.isSettled)
    }

    private func outboxesAreEmpty() async throws -> Bool {
        for service in WorkerTests.services {
            let waiting = try await WorkerTests.rows(
                "SELECT count(*) AS n FROM outbox WHERE published_at IS NULL", service, folder)
            guard waiting[0]["n"] == "0" else { return false }
        }
        return true
    }

    /// Expects the records to be these, byte for byte, and says which rows are not.
    ///
    /// - Parameter onlyTheServices: of the provider's ledger, whether someone asked again does not count.
    func expectRecords(_ wanted: [[[String: String]]], onlyTheServices: Bool = false) async throws {
        var (own, wanted) = (try await records(), wanted)
        if onlyTheServices, let ledger = own.indices.last {
            own[ledger] = Self.withoutTimes([own[ledger]])[0]
            wanted[ledger] = Self.withoutTimes([wanted[ledger]])[0]
        }
        for (table, (own, other)) in zip(own, wanted).enumerated() {
            let changed = zip(own, other).filter { $0 != $1 }.prefix(3)
            let isEqual = own == other
            #expect(isEqual, "table \(table): \(own.count) rows for \(other.count), \(changed)")
        }
    }

    func records() async throws -> [[[String: String]]] { try await ToolTests.records(folder) }

    /// Without what says when, and by which event, something happened.
    static func withoutTimes(_ records: [[[String: String]]]) -> [[[String: String]]] {
        records.map {
            $0.map { row in
                row.filter { !$0.key.hasSuffix("_at") && !["attempts", "decided_by_id"].contains($0.key) }
            }
        }
    }

    /// Source and id of every event in the logs.
    func eventNames() async throws -> Set<String> {
        let broker = Broker(client, namespace: "shop")
        var names: Set<String> = []
        for topic in try await broker.topics() {
            for try await entry in broker.history(of: topic) {
                names.insert("\(entry.field("source")?.string ?? "")/\(entry.field("id")?.string ?? "")")
            }
        }
        return names
    }
}

extension Folder {
    /// A database for a service more.
    func makeDatabase(of service: String) async throws {
        guard let postgres else { return }
        _ = try await RecordsDatabase.open(url: postgres.url).transaction {
            try $0.execute("CREATE SCHEMA shop_\(service)")
        }
    }

    /// Nothing of a service's database is left; an empty one takes its place.
    func loseDatabase(of service: String) async throws {
        guard let postgres else {
            for end in ["", "-wal", "-shm"] {
                try? FileManager.default.removeItem(atPath: "\(path)/data/\(service).db\(end)")
            }
            return
        }
        _ = try await RecordsDatabase.open(url: postgres.url).transaction {
            try $0.execute("DROP SCHEMA shop_\(service) CASCADE")
            try $0.execute("CREATE SCHEMA shop_\(service)")
        }
    }
}
