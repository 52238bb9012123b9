import FoundationEssentials
import Testing

/// The rights of docker/acl/users.conf, and what docs/access.md says of them.
struct AccessList {
    /// A right of a user or of a role, as Redis spells it: `+xadd`, `~shop:topic:{orders}`.
    struct Right: Hashable, CustomStringConvertible {
        let user: String
        let right: String
        var description: String { "\(user) \(right)" }
    }

    /// What the documentation says of a right.
    struct Row {
        let right: Right
        let reason: String
        /// The step that fails without the right.
        let step: String
    }

    /// The repository's folder.
    static var root: String { "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") }

    /// Each right of the list with its reason.
    static func rights() throws -> [(right: Right, reason: String)] {
        try lines("docker/acl/users.conf").compactMap { line in
            let parts = line.split(separator: "#", maxSplits: 1).map(trimmed)
            let words = parts.first?.split(separator: " ").map(String.init) ?? []
            guard !line.hasPrefix("#"), words.count == 2, !words[1].hasPrefix("=") else { return nil }
            return (Right(user: words[0], right: words[1]), parts.count > 1 ? parts[1] : "")
        }
    }

    /// The rows of the tables under headings that name a user or a role in code.
    static func rows() throws -> [Row] {
        var (rows, user): ([Row], String) = ([], "")
        for line in try lines("docs/access.md") {
            if line.hasPrefix("## ") { user = line.contains("`") ? code(line.dropFirst(3)) : "" }
            // A bar within a cell is escaped.
            let cells = line.replacing("\\|", with: "\u{1}").split(separator: "|").map {
                trimmed($0).replacing("\u{1}", with: "|")
            }
            guard line.hasPrefix("| `"), cells.count == 3, !user.isEmpty else { continue }
            rows.append(
                Row(right: Right(user: user, right: code(cells[0])), reason: cells[1], step: cells[2]))
        }
        return rows
    }

    private static func lines(_ path: String) throws -> [Substring] {
        try String(contentsOfFile: "\(root)/\(path)", encoding: .utf8).split(separator: "\n")
    }

    private static func code(_ text: some StringProtocol) -> String {
        let parts = text.split(separator: "`" as Character, omittingEmptySubsequences: false)
        return parts.count > 2 ? String(parts[1]) : ""
    }

    private static func trimmed(_ text: some StringProtocol) -> String {
        text.split(separator: " ").joined(separator: " ")
    }
}
