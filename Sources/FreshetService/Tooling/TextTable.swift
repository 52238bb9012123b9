/// Lines of aligned columns, a block of rows at a time: memory does not grow with the rows, and a column never becomes
/// narrower than it was.
package struct TextTable: Sendable {
    private let names: [String]
    private let lineWidth: Int?
    private var namesAreDue: Bool
    private var widths: [Int]
    /// Numbers stand on the right; decided by the first block.
    private var isNumeric: [Bool]?

    /// - Parameters:
    ///   - hasNames: whether the first line has the names of the columns.
    ///   - lineWidth: where lines are cut; nil leaves them whole.
    package init(columns: [String], hasNames: Bool = true, lineWidth: Int? = nil) {
        names = columns.map { $0.uppercased() }
        namesAreDue = hasNames
        self.lineWidth = lineWidth
        widths = hasNames ? names.map(\.count) : names.map { _ in 0 }
    }

    /// The lines of these rows, and before the first ones the names of the columns.
    package mutating func lines(_ rows: [[String]]) -> [String] {
        let cells = rows.map { row in row.map { OneLine.escaped($0) } }
        for row in cells {
            for (index, cell) in row.enumerated() { widths[index] = max(widths[index], cell.count) }
        }
        let isNumeric =
            self.isNumeric
            ?? names.indices.map { index in
                cells.contains { $0[index] != "-" } && cells.allSatisfy { Self.isNumber($0[index]) }
            }
        if !cells.isEmpty { self.isNumeric = isNumeric }
        defer { namesAreDue = false }
        return ((namesAreDue ? [names] : []) + cells).map { line($0, isNumeric) }
    }

    private func line(_ cells: [String], _ isNumeric: [Bool]) -> String {
        var text = ""
        for (index, cell) in cells.enumerated() {
            let padding = String(repeating: " ", count: max(0, widths[index] - cell.count))
            let isLast = index == cells.count - 1
            text += isNumeric[index] ? padding + cell : isLast ? cell : cell + padding
            if !isLast { text += "  " }
        }
        guard let lineWidth, text.count > lineWidth else { return text }
        return text.prefix(max(1, lineWidth - 1)) + "…"
    }

    private static func isNumber(_ text: String) -> Bool {
        text == "-" || Double(text) != nil || (text.last == "+" && Int(text.dropLast()) != nil)
    }
}

/// Text from outside that is shown to people: it stays on its line and steers no terminal.
public enum OneLine {
    /// The text with control characters, and those that turn the direction of writing, spelled out.
    public static func escaped(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isUnsafe) else { return text }
        var escaped = ""
        for scalar in text.unicodeScalars {
            if isUnsafe(scalar) {
                escaped += scalar.escaped(asASCII: true)
            } else {
                escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    private static func isUnsafe(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7f..<0xa0, 0x2028...0x202e, 0x2066...0x2069: true
        default: false
        }
    }
}
