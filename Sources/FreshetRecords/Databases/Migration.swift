internal import Freshet

/// One step of a service's tables, run once. Steps are numbered from 1 without gaps and never changed once released.
public struct Migration: Sendable {
    /// Its place in the order, from 1.
    public let number: Int
    /// What it does, for people.
    public let name: String
    /// The statements, in SQL that every supported database takes.
    public let statements: [String]

    /// A step.
    public init(_ number: Int, _ name: String, _ statements: [String]) {
        self.number = number
        self.name = name
        self.statements = statements
    }
}

extension Records {
    /// Brings the tables of this `owner` to the last of these steps. Steps that ran before are not run again; several
    /// processes may call it at the same time. Refuses a database that has steps which are not known here.
    public func migrate(_ migrations: [Migration], of owner: String) async throws {
        precondition(
            migrations.map(\.number)
                == Array(1...max(1, migrations.count)).prefix(migrations.count).map { $0 },
            "migrations are numbered from 1 without gaps")
        try await transaction { transaction in
            try transaction.lock("freshet migrations")
            try transaction.execute(
                """
                CREATE TABLE IF NOT EXISTS freshet_migrations (
                  owner TEXT NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL, applied_at TEXT NOT NULL,
                  PRIMARY KEY (owner, number))
                """)
            let rows = try transaction.query(
                "SELECT max(number) AS newest FROM freshet_migrations WHERE owner = $1", .text(owner))
            let newest = Int(rows.first?.integer("newest") ?? 0)
            guard newest <= migrations.count else {
                throw RecordsError(
                    .tooNew,
                    "the database has step \(newest) of '\(owner)', and this program knows \(migrations.count): it is older"
                )
            }
            for migration in migrations.dropFirst(newest) {
                for statement in migration.statements { try transaction.execute(statement) }
                try transaction.execute(
                    "INSERT INTO freshet_migrations (owner, number, name, applied_at) VALUES ($1, $2, $3, $4)",
                    .text(owner), .integer(migration.number), .text(migration.name),
                    .text(Timestamp.now().description))
            }
        }
    }
}
