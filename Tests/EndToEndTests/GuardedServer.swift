import FoundationEssentials
import Freshet
import FreshetTesting
import Hiredis
import Testing

/// A server with the users of docker/acl/users.conf, and one more, `admin`, who may do anything.
struct GuardedServer: Sendable {
    /// What a user may do, each as Redis spells it: `+xadd`, `~shop:topic:{orders}`.
    typealias Rights = [String]

    /// What a user tried, and may not.
    struct Refusal: CustomStringConvertible, Hashable {
        let reason: String
        let object: String
        var description: String { "\(reason) \(object)" }
    }

    let port: Int
    let admin: RedisClient
    /// The rights of each user of the list.
    let rights: [String: Rights]
    private let passwords: [String: String]

    static func with(_ body: (GuardedServer) async throws -> Void) async throws {
        let folder = try Folder()
        let script =
            "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/docker/acl/make.sh"
        let made = try await Program.run("bash", [script, folder.path], in: folder)
        try #require(made.ending == .exited(0), "\(made.errors)")
        let file = "\(folder.path)/users.acl"
        let users = try String(contentsOfFile: file, encoding: .utf8)
        var (rights, passwords): ([String: Rights], [String: String]) = ([:], [:])
        for line in users.split(separator: "\n") {
            let words = line.split(separator: " ").map(String.init)
            guard words.count > 2, words[0] == "user" else { continue }
            rights[words[1]] = words.filter { $0.first == "~" || $0.first == "+" }
            passwords[words[1]] = try? String(
                contentsOfFile: "\(folder.path)/\(words[1]).password", encoding: .utf8)
        }
        try (users + "\nuser admin on >secret +@all ~* &*\n").write(
            toFile: file, atomically: true, encoding: .utf8)
        let port = freePort()
        let server = LocalRedisServer(port: port, options: ["--aclfile", file, "--acllog-max-len", "2000"])
        try await withRedisServer(server) { _ in
            let admin = RedisClient(try RedisConfiguration(url: "redis://admin:secret@127.0.0.1:\(port)"))
            defer { admin.close() }
            try await admin.connect(within: .seconds(10))
            try await body(GuardedServer(port: port, admin: admin, rights: rights, passwords: passwords))
        }
    }

    func url(of user: String) -> String {
        "redis://\(user):\(passwords[user] ?? "secret")@127.0.0.1:\(port)"
    }

    /// Adds a user of the test's own.
    func add(_ user: String, _ rights: Rights) async throws {
        _ = try await admin.send(
            RedisCommand(
                arguments: ["ACL", "SETUSER", user, "on", ">secret", "resetchannels", "resetkeys", "-@all"]
                    + rights))
    }

    /// What was refused to a user since the server started.
    func refusals(of user: String) async throws -> Set<Refusal> {
        var refusals: Set<Refusal> = []
        for entry in try await admin.send(RedisCommand("ACL", "LOG", 2000)).array.map(Array.init) ?? [] {
            var fields: [String: String] = [:]
            let parts = entry.array.map(Array.init) ?? []
            for index in stride(from: 0, to: parts.count - 1, by: 2) {
                if let name = parts[index].string { fields[name] = parts[index + 1].string }
            }
            guard fields["username"] == user else { continue }
            refusals.insert(Refusal(reason: fields["reason"] ?? "", object: fields["object"] ?? ""))
        }
        return refusals
    }
}
