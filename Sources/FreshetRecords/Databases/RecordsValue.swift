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
    /// The same array in each row of a result.
    private let names: [String]
    private let values: [RecordsValue]

    /// A row with these columns.
    public init(names: [String], values: [RecordsValue]) { (self.names, self.values) = (names, values) }

    /// The names of its columns, in the order of the query.
    public var columns: [String] { names }

    /// The column's value; null when there is no such column.
    public subscript(_ column: String) -> RecordsValue {
        names.firstIndex(of: column).map { values[$0] } ?? .null
    }

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
