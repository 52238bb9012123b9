internal import FoundationEssentials

/// A configuration file: lines `NAME=value`, and comments that begin with `#`.
///
/// Spaces around names and values do not count, and quotes are part of a value, as for `docker run --env-file`.
struct SettingsFile: Sendable {
    struct Line: Sendable {
        let number: Int
        let value: String
    }

    let path: String
    /// By name.
    let lines: [String: Line]

    /// - Parameter place: what names the file.
    init(path: String, namedBy place: String) throws(ToolError) {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw ToolError(.badConfiguration, "\(place): cannot read '\(path)'")
        }
        try self.init(path: path, text: text)
    }

    /// No error repeats a line: it may hold a password.
    init(path: String, text: String) throws(ToolError) {
        self.path = path
        var lines: [String: Line] = [:]
        for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
            .enumerated()
        {
            let number = index + 1
            let line = line.trimmed
            if line.isEmpty || line.hasPrefix("#") { continue }
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = parts[0].trimmed
            guard parts.count == 2, Self.isName(name) else {
                throw ToolError(.badConfiguration, "\(path):\(number): not a line NAME=value")
            }
            if let earlier = lines[String(name)] {
                throw ToolError(
                    .badConfiguration,
                    "\(path):\(number): \(name) stands in line \(earlier.number) already")
            }
            lines[String(name)] = Line(number: number, value: String(parts[1].trimmed))
        }
        self.lines = lines
    }

    /// The first line of a file with a secret.
    ///
    /// - Parameter place: what names the file.
    static func secret(in path: String, namedBy place: String) throws(ToolError) -> String {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw ToolError(.badConfiguration, "\(place): cannot read '\(path)'")
        }
        let secret = String(text.prefix { !$0.isNewline })
        guard !secret.isEmpty else {
            throw ToolError(.badConfiguration, "\(place): '\(path)' is empty")
        }
        return secret
    }

    private static func isName(_ text: Substring) -> Bool {
        guard let first = text.first, !first.isNumber else { return false }
        return text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
    }
}

extension Substring {
    fileprivate var trimmed: Substring {
        let start = drop(while: \.isWhitespace)
        return start[..<(start.lastIndex { !$0.isWhitespace }.map(start.index(after:)) ?? start.startIndex)]
    }
}
