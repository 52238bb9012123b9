/// A service's own database: transactions on one SQL text that every supported database takes.
///
/// Statements number their parameters `$1`, `$2`, ... in the order of their first appearance. Column types that all
/// understand: TEXT, BIGINT, INTEGER, DOUBLE PRECISION.
public protocol Records: Sendable {
    /// The type of a column that numbers rows in the order in which they were written, as primary key.
    var identityColumn: String { get }
    /// The type of a column of bytes.
    var bytesColumn: String { get }

    /// Runs the body in one write transaction: all of it or nothing.
    ///
    /// Bodies given at the same time may share one commit; each still sees the effects of the ones before it and fails
    /// alone. The body runs on the database's own thread and may run again when a shared commit fails, so its only
    /// effects are those on the database.
    func transaction<Value: Sendable>(
        _ body: @escaping @Sendable (any RecordsTransaction) throws -> Value
    ) async throws -> Value

    /// Runs the body outside a write transaction, for reading what is committed.
    func read<Value: Sendable>(
        _ body: @escaping @Sendable (any RecordsTransaction) throws -> Value
    ) async throws -> Value
}

/// Statements within a transaction. Not to be kept or used after its body has returned.
public protocol RecordsTransaction {
    /// Runs a statement; returns how many rows it changed.
    @discardableResult
    func execute(_ sql: String, _ values: [RecordsValue]) throws -> Int

    /// Runs a query; returns its rows.
    func query(_ sql: String, _ values: [RecordsValue]) throws -> [RecordsRow]
}

extension RecordsTransaction {
    /// Runs a statement; returns how many rows it changed.
    @discardableResult
    public func execute(_ sql: String, _ values: RecordsValue...) throws -> Int { try execute(sql, values) }

    /// Runs a query; returns its rows.
    public func query(_ sql: String, _ values: RecordsValue...) throws -> [RecordsRow] {
        try query(sql, values)
    }
}

/// A value of a column or parameter.
public enum RecordsValue: Sendable, Hashable {
    /// No value.
    case null
    /// A whole number.
    case integer(Int64)
    /// A number with a fraction.
    case real(Double)
    /// Text.
    case text(String)
    /// Bytes.
    case bytes([UInt8])

    /// A text, or null.
    public static func text(orNull text: String?) -> RecordsValue { text.map { .text($0) } ?? .null }
    /// A whole number.
    public static func integer(_ number: Int) -> RecordsValue { .integer(Int64(number)) }
}

extension RecordsValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByNilLiteral {
    /// A text.
    public init(stringLiteral text: String) { self = .text(text) }
    /// A whole number.
    public init(integerLiteral number: Int64) { self = .integer(number) }
    /// Null.
    public init(nilLiteral: ()) { self = .null }
}

/// One row of a query's result.
public struct RecordsRow: Sendable {
    private let columns: [String: RecordsValue]

    /// A row with these columns.
    public init(_ columns: [String: RecordsValue]) { self.columns = columns }

    /// The column's value; null when there is no such column.
    public subscript(_ column: String) -> RecordsValue { columns[column] ?? .null }

    /// The column as a whole number, or nil when it is something else.
    public func integer(_ column: String) -> Int64? {
        if case .integer(let number) = self[column] { number } else { nil }
    }

    /// The column as text, or nil when it is something else.
    public func text(_ column: String) -> String? {
        if case .text(let text) = self[column] { text } else { nil }
    }

    /// The column as bytes, or nil when it is something else.
    public func bytes(_ column: String) -> [UInt8]? {
        if case .bytes(let bytes) = self[column] { bytes } else { nil }
    }
}

/// What went wrong with a database.
public struct RecordsError: Error, Sendable, CustomStringConvertible {
    /// The kind of failure. More kinds may come: `switch` with a default.
    public struct Code: Hashable, Sendable {
        let name: String
        /// The database cannot be opened: path, permission, format. Waiting will not cure it.
        public static let cannotOpen = Code(name: "cannot open")
        /// A URL that names no database.
        public static let invalidURL = Code(name: "invalid url")
        /// The database was made by a newer program.
        public static let tooNew = Code(name: "too new")
        /// A statement failed.
        public static let statement = Code(name: "statement")
    }
    /// The kind of failure.
    public let code: Code
    /// What happened, for a person; without passwords and values.
    public let description: String

    /// An error of this kind.
    public init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}
