import FoundationEssentials
import GRDB
import Glibc

enum Processes {
    /// The processes that this one started and that still run.
    static func children(of parent: Int32) -> [(id: Int32, name: String)] {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return all.compactMap { entry in
            guard let id = Int32(entry),
                let text = try? String(contentsOfFile: "/proc/\(id)/stat", encoding: .utf8),
                let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")")
            else { return nil }
            let rest = text[close...].split(separator: " ")
            guard rest.count > 2, Int32(rest[2]) == parent, rest[1] != "Z" else { return nil }
            return (id, String(text[text.index(after: open)..<close]))
        }
    }
}

enum Tampering {
    /// Rows as text by column.
    static func query(_ sql: String, on path: String) throws -> [[String: String]] {
        var configuration = Configuration()
        configuration.readonly = true
        configuration.busyMode = .timeout(10)
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        return try queue.read { database in
            try Row.fetchAll(database, sql: sql).map { row in
                Dictionary(
                    uniqueKeysWithValues: row.map { ($0.0, String.fromDatabaseValue($0.1) ?? "\($0.1)") })
            }
        }
    }

    static func execute(_ sql: String, on path: String) throws {
        // The workers still run, and write.
        var configuration = Configuration()
        configuration.busyMode = .timeout(10)
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        try queue.write { try $0.execute(sql: sql) }
        try queue.writeWithoutTransaction { _ = try $0.checkpoint(.truncate) }
        try queue.close()
    }
}

/// The names of a JSON object's members, sorted; nil when it is no object.
func memberNames(_ text: String) throws -> [String]? {
    struct Name: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }
    struct Object: Decodable {
        let keys: [String]
        init(from decoder: any Decoder) throws {
            keys = try decoder.container(keyedBy: Name.self).allKeys.map(\.stringValue).sorted()
        }
    }
    return try JSONDecoder().decode(Object.self, from: Data(text.utf8)).keys
}
