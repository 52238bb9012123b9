/// How a table in use and its new one differ.
public struct TableComparison: Sendable, Codable {
    /// A row as text by column, and in which of the two it stands.
    public struct Example: Sendable, Codable {
        /// `live` or `rebuilt`.
        public let side: String
        /// The row; null is left out.
        public let row: [String: String]
    }
    /// The table.
    public let table: String
    /// How many rows the table in use has.
    public let live: Int
    /// How many rows the new one has.
    public let rebuilt: Int
    /// How many stand in both.
    public let equal: Int
    /// How many stand in both with other values, by their primary key.
    public let differing: Int
    /// How many stand in the table in use only.
    public let onlyLive: Int
    /// How many stand in the new one only.
    public let onlyRebuilt: Int
    /// Up to five rows of each side that the other does not have.
    public let examples: [Example]

    /// Whether there is no difference.
    public var isEqual: Bool { differing == 0 && onlyLive == 0 && onlyRebuilt == 0 && live == rebuilt }
}

extension Shadow {
    /// How many rows of a difference are shown.
    private static let mostExamples = 5

    /// Compares the service's own tables. What live handlers do meanwhile shows as a difference.
    package func compare() async throws -> [TableComparison] {
        let place = place
        return try await seeingBoth { transaction in
            let tables = try place.tables(in: transaction).filter { $0.kind == .table }
            try place.analyze(tables, in: transaction)
            return try tables.map { try Self.compare($0, place, in: transaction) }
        }
    }

    private static func compare(
        _ table: ShadowTable, _ place: any ShadowPlace, in transaction: any RecordsTransaction
    ) throws -> TableComparison {
        let columns = table.columns.map(\.compared).joined(separator: ", ")
        let (live, made) = (place.live + table.quoted, place.made + table.quoted)
        let differences = """
            WITH only_live AS (SELECT \(columns) FROM \(live) EXCEPT SELECT \(columns) FROM \(made)),
              only_rebuilt AS (SELECT \(columns) FROM \(made) EXCEPT SELECT \(columns) FROM \(live))
            """
        let key = table.key.map(ShadowTable.quoted).joined(separator: ", ")
        let differing =
            key.isEmpty
            ? "0" : "(SELECT count(*) FROM only_live JOIN only_rebuilt USING (\(key)))"
        let row = try transaction.query(
            """
            \(differences)
            SELECT (SELECT count(*) FROM \(live)) AS live, (SELECT count(*) FROM \(made)) AS rebuilt,
              (SELECT count(*) FROM only_live) AS only_live, (SELECT count(*) FROM only_rebuilt) AS only_rebuilt,
              \(differing) AS differing
            """
        ).first
        func count(_ name: String) -> Int { Int(row?.integer(name) ?? 0) }
        var examples: [TableComparison.Example] = []
        let order =
            key.isEmpty ? table.columns.map { ShadowTable.quoted($0.name) }.joined(separator: ", ") : key
        for (side, count) in [("live", count("only_live")), ("rebuilt", count("only_rebuilt"))]
        where count > 0 {
            examples += try transaction.query(
                "\(differences) SELECT * FROM only_\(side) ORDER BY \(order) LIMIT \(mostExamples)"
            ).map { .init(side: side, row: text($0)) }
        }
        return TableComparison(
            table: table.name, live: count("live"), rebuilt: count("rebuilt"),
            equal: count("rebuilt") - count("only_rebuilt"), differing: count("differing"),
            onlyLive: count("only_live") - count("differing"),
            onlyRebuilt: count("only_rebuilt") - count("differing"), examples: examples)
    }

    private static func text(_ row: RecordsRow) -> [String: String] {
        var result: [String: String] = [:]
        for column in row.columns {
            switch row[column] {
            case .null: break
            case .integer(let number): result[column] = "\(number)"
            case .real(let number): result[column] = "\(number)"
            case .text(let text): result[column] = text
            case .bytes(let bytes): result[column] = "\(bytes.count) bytes"
            }
        }
        return result
    }
}
