/// Rows of text in columns: the first and the last flush left, the numbers between them flush right.
struct TextTable {
    private var rows: [[String]]

    init(_ titles: [String]) { rows = [titles] }

    mutating func add(_ cells: [String]) { rows.append(cells) }

    var text: String {
        let last = rows[0].count - 1
        let widths = (0...last).map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            row.enumerated().map { column, cell in
                if column == last { return cell }
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                return column == 0 ? cell + padding : padding + cell
            }
            .joined(separator: "  ")
        }
        .joined(separator: "\n")
    }
}

extension Double {
    /// With so many decimals, also when they are zeros.
    func text(places: Int) -> String {
        let scale = (0..<places).reduce(1) { scale, _ in scale * 10 }
        let number = Int((self * Double(scale)).rounded())
        let decimals = String(number % scale)
        let zeros = String(repeating: "0", count: places - decimals.count)
        return "\(number / scale).\(zeros)\(decimals)"
    }
}

extension Int {
    /// Bytes in MiB.
    var mebibytes: String { (Double(self) / 1_048_576).text(places: 1) }
}
