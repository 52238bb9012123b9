internal import FoundationEssentials
internal import FreshetRecords
internal import FreshetService
internal import Glibc

/// The folder with everything the shop keeps: the server's files, a database for each service, logs.
struct ShopFolder: Sendable {
    let path: String

    /// The folder at this path, made absolute.
    init(_ path: String) {
        let base = path.hasPrefix("/") ? path : "\(FileManager.default.currentDirectoryPath)/\(path)"
        self.path = URL(filePath: base).standardized.path
    }

    var redisFolder: String { "\(path)/redis" }
    var socketURL: String { "unix://\(redisFolder)/redis.sock" }
    var logs: String { "\(path)/logs" }
    private var databaseNote: String { "\(path)/database-url" }

    /// Where a service's database is: a file in the folder, or a schema of the PostgreSQL database that the shop was started
    /// with.
    func databaseURL(of service: String) -> String {
        guard let base = try? String(contentsOfFile: databaseNote, encoding: .utf8) else {
            return "sqlite:\(file(of: service))"
        }
        return "\(base)\(base.contains("?") ? "&" : "?")options=-csearch_path%3D\(schema(of: service))"
    }

    private func file(of service: String) -> String { "\(path)/\(service).db" }
    private func schema(of service: String) -> String { "shop_\(service)" }

    /// Keeps all services' records in this PostgreSQL database, each in a schema of its own, for this shop and those who
    /// look at it later.
    func keepRecords(in databaseURL: String) async throws {
        guard databaseURL.hasPrefix("postgres"), !databaseURL.contains("options=") else {
            throw ToolError(
                .badConfiguration,
                "--database-url is postgres://... without 'options', which the schemas need")
        }
        do {
            let schemas = (ShopTopology.services + ["provider"]).map(schema)
            try await RecordsDatabase.open(url: databaseURL).transaction { transaction in
                try transaction.lock("shop schemas")
                for schema in schemas { try transaction.enqueue("CREATE SCHEMA IF NOT EXISTS \(schema)") }
            }
            try Data(databaseURL.utf8).write(to: URL(filePath: databaseNote))
            // It may hold a password.
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: databaseNote)
        } catch { throw ToolError(error) }
    }

    func make() throws {
        do {
            for folder in [path, redisFolder, logs] {
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            }
        } catch {
            throw ToolError(.badConfiguration, "cannot make the data folder '\(path)': \(error)")
        }
        guard redisFolder.utf8.count + "/redis.sock".utf8.count <= 107 else {
            throw ToolError(
                .badConfiguration, "the path of '\(path)' is too long for the server's socket in it")
        }
    }

    /// Keeps the folder for this process until it ends. Two shops on one folder would share databases by accident.
    func lock() throws {
        let descriptor = unsafe open("\(path)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0, flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw ToolError(.tryAgain, "another shop is running on '\(path)'")
        }
    }

    /// A service's database, for reading; one that is not there is not made.
    func openDatabase(of service: String) throws -> any Records {
        let url = databaseURL(of: service)
        if url.hasPrefix("sqlite:"), !FileManager.default.fileExists(atPath: file(of: service)) {
            throw ToolError(
                .badConfiguration,
                "there is no database '\(file(of: service))': name the shop's folder with --data")
        }
        return try RecordsDatabase.open(url: url)
    }
}
