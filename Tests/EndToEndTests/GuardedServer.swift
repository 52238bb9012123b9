import FoundationEssentials
import Freshet
import FreshetTesting
import Hiredis
import Testing

/// A server with the users of docker/acl/users.conf, and one more, `admin`, who may do anything.
struct GuardedServer: Sendable {
    /// What a user tried, and may not.
    struct Refusal: CustomStringConvertible, Hashable {
        /// `command` or `key`.
        let reason: String
        /// The command, or the key.
        let object: String
        var description: String { "\(reason) \(object)" }
    }

    let admin: RedisClient
    /// All that each user of the list may do.
    let rights: [String: [String]]
    private let passwords: [String: String]
    /// A URL around credentials.
    private let urlParts: (String, String)

    /// Runs the body with one server.
    static func with(_ body: (GuardedServer) async throws -> Void) async throws {
        let folder = try Folder()
        let users = try await Users(in: folder)
        let file = "\(folder.path)/users.acl"
        try (users.text + "\nuser admin on >secret +@all ~* &*\n").write(
            toFile: file, atomically: true, encoding: .utf8)
        let port = freePort()
        let server = LocalRedisServer(port: port, options: ["--aclfile", file, "--acllog-max-len", "2000"])
        try await withRedisServer(server) { _ in
            let admin = RedisClient(try RedisConfiguration(url: "redis://admin:secret@127.0.0.1:\(port)"))
            defer { admin.close() }
            try await admin.connect(within: .seconds(10))
            try await body(
                GuardedServer(
                    admin: admin, rights: users.rights, passwords: users.passwords,
                    urlParts: ("redis://", "127.0.0.1:\(port)")))
        }
    }

    /// Runs the body with a primary behind sentinels, which has none of the list's users yet.
    static func behindSentinels(_ body: (GuardedServer) async throws -> Void) async throws {
        let users = try await Users(in: Folder())
        try await withRedisSentinels { sentinels in
            let admin = sentinels.client(of: 0)
            defer { admin.close() }
            let parts = sentinels.url.split(separator: "//", maxSplits: 1).map(String.init)
            try await body(
                GuardedServer(
                    admin: admin, rights: users.rights, passwords: [:], urlParts: (parts[0] + "//", parts[1]))
            )
        }
    }

    func url(of user: String) -> String {
        "\(urlParts.0)\(user):\(passwords[user] ?? "secret")@\(urlParts.1)"
    }

    /// Adds a user of the test's own.
    func add(_ user: String, _ rights: [String]) async throws {
        _ = try await admin.send(
            RedisCommand(
                arguments: ["ACL", "SETUSER", user, "on", ">secret", "resetchannels", "resetkeys", "-@all"]
                    + rights))
    }

    /// What was refused to a user since the server started.
    func refusals(of user: String) async throws -> Set<Refusal> { try await refusals()[user] ?? [] }

    /// What was refused to each user since the server started.
    func refusals() async throws -> [String: Set<Refusal>] {
        var refusals: [String: Set<Refusal>] = [:]
        for entry in try await admin.send(RedisCommand("ACL", "LOG", 2000)).array.map(Array.init) ?? [] {
            var fields: [String: String] = [:]
            let parts = entry.array.map(Array.init) ?? []
            for index in stride(from: 0, to: parts.count - 1, by: 2) {
                if let name = parts[index].string { fields[name] = parts[index + 1].string }
            }
            refusals[fields["username"] ?? "", default: []].insert(
                Refusal(reason: fields["reason"] ?? "", object: fields["object"] ?? ""))
        }
        return refusals
    }

    /// What docker/acl/make.sh makes of the list.
    private struct Users {
        let text: String
        var rights: [String: [String]] = [:]
        var passwords: [String: String] = [:]

        init(in folder: Folder) async throws {
            let made = try await Program.run(
                "bash", ["\(AccessList.root)/docker/acl/make.sh", folder.path], in: folder)
            try #require(made.ending == .exited(0), "\(made.errors)")
            text = try String(contentsOfFile: "\(folder.path)/users.acl", encoding: .utf8)
            for line in text.split(separator: "\n") {
                let words = line.split(separator: " ").map(String.init)
                guard words.count > 2, words[0] == "user" else { continue }
                rights[words[1]] = words.filter { "~+".contains($0.prefix(1)) }
                passwords[words[1]] = try? String(
                    contentsOfFile: "\(folder.path)/\(words[1]).password", encoding: .utf8)
            }
        }
    }
}
