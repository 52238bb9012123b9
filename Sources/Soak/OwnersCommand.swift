internal import ArgumentParser
internal import Freshet
internal import FreshetRecords
internal import FreshetTesting
internal import Glibc
internal import Hiredis
internal import Workbench

/// `soak owners`
struct OwnersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "owners",
        abstract:
            "Takes partitions over while their owners are within a transaction; none commits after its successor.",
        discussion: """
            The owner and the one after it handle different events, so that the inbox keeps neither waiting: only the epoch in \
            the database does. PostgreSQL, whose transactions run beside each other.
            """)

    @Option(help: "What the moments are made from; nothing makes one up.")
    var seed: UInt64?

    @Option(help: "How many partitions are taken over.")
    var rounds = 300

    func run() async throws {
        let seed = seed ?? UInt64.random(in: 0 ... .max)
        print("soak owners --seed \(seed) --rounds \(rounds)")
        try await untilInterrupted {
            try await withPostgres(LocalPostgres(options: ["-c", "track_commit_timestamp=on"])) {
                try await attack(seed, $0)
            }
        }
    }

    private func attack(_ seed: UInt64, _ server: LocalPostgres) async throws {
        // Nothing is published.
        let client = RedisClient(RedisConfiguration(address: .unix(path: "/none")))
        defer { client.close() }
        let broker = Broker(client, namespace: "soak")
        let effects = Migration(
            1, "effects", ["CREATE TABLE effects (round BIGINT NOT NULL, epoch BIGINT NOT NULL)"])
        func process() async throws -> ServiceRecords {
            try await ServiceRecords(
                RecordsDatabase.open(url: server.url), source: "soak", migrations: [effects], on: broker)
        }
        let (first, second) = (try await process(), try await process())
        var (random, refused) = (Seeded(seed), 0)
        let progress = Progress()
        for round in 0..<rounds {
            progress.show("round \(round) of \(rounds)")
            let old = try await Tenure(first, round, "first")
            let work = UInt32.random(in: 0...20_000, using: &random)
            let pause = Duration.microseconds(Int.random(in: 0...15_000, using: &random))
            // In some rounds it begins after it was taken over.
            let isLate = Int.random(in: 0..<8, using: &random) == 0
            let late = isLate ? try await Tenure(second, round, "second") : nil
            async let isApplied = old.handle(for: work)
            try await Task.sleep(for: pause)
            let new = if let late { late } else { try await Tenure(second, round, "second") }
            _ = try await new.handle(for: 0)
            if try await !isApplied { refused += 1 }
        }
        progress.clear()
        try await judge(first.database, refused)
    }

    private func judge(_ database: any Records, _ refused: Int) async throws {
        let (late, both) = try await database.read { database in
            let pairs =
                "FROM effects AS old JOIN effects AS new ON old.round = new.round AND old.epoch < new.epoch"
            let late = try database.query(
                """
                SELECT old.round \(pairs)
                WHERE pg_xact_commit_timestamp(old.xmin) > pg_xact_commit_timestamp(new.xmin) ORDER BY old.round
                """
            ).map { "round \($0.integer("round") ?? -1)" }
            return (late, try database.query("SELECT old.round \(pairs)").count)
        }
        var verdict = Verdict()
        verdict.check("no owner commits after its successor", late)
        verdict.demand("owners that committed before a successor", both)
        verdict.demand("owners that were refused", refused)
        guard verdict.holds else { throw ExitCode(1) }
    }

    /// One process's time as the owner of a partition.
    private struct Tenure {
        let records: ServiceRecords
        let round: Int
        let claim: PartitionClaim

        init(_ records: ServiceRecords, _ round: Int, _ name: String) async throws {
            let owner = ConsumerName(unchecked: name)
            let epoch = try await records.raise(
                topic: "numbered", group: "soak", partition: round, owner: owner)
            (self.records, self.round, claim) = (records, round, PartitionClaim(owner: owner, epoch: epoch))
        }

        /// Handles an event of its own, so long; false when it is not the owner any more.
        func handle(for microseconds: UInt32) async throws -> Bool {
            let event = Event(
                id: "\(round) \(claim.epoch)", source: "soak", type: EventType(unchecked: Numbered.type),
                data: "{}")
            let delivery = Delivery(
                event: event, group: "soak", topic: "numbered", partition: round, claim: claim)
            let (round, epoch) = (round, claim.epoch)
            do {
                try await records.handle(delivery) { effects in
                    usleep(microseconds)
                    try effects.execute(
                        "INSERT INTO effects VALUES ($1, $2)", .integer(round), .integer(epoch))
                }
                return true
            } catch is StaleOwner {
                return false
            }
        }
    }
}
