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
    func database(of service: String) -> String { "\(path)/\(service).db" }

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
        let file = database(of: service)
        guard FileManager.default.fileExists(atPath: file) else {
            throw ToolError(
                .badConfiguration, "there is no database '\(file)': name the shop's folder with --data")
        }
        return try RecordsDatabase.open(url: "sqlite:\(file)")
    }
}
