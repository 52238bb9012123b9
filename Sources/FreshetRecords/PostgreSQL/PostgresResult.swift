internal import CPostgreSQL

/// A statement's result, as libpq keeps it.
@safe final class PostgresResult {
    private let result: OpaquePointer

    init(_ result: OpaquePointer) { unsafe self.result = unsafe result }

    deinit { unsafe PQclear(result) }

    var status: ExecStatusType { unsafe PQresultStatus(result) }

    /// How many rows a statement changed.
    var changes: Int { unsafe Int(String(cString: PQcmdTuples(result))) ?? 0 }

    /// What was done, such as `COMMIT`; a transaction that failed before says `ROLLBACK` to that.
    var tag: String { unsafe String(cString: PQcmdStatus(result)) }

    var sqlState: String { field(Int32(UInt8(ascii: "C"))) }

    /// Without the detail, which may hold someone's data.
    var failure: PostgresFailure {
        PostgresFailure(.statement, field(Int32(UInt8(ascii: "M"))), sqlState: sqlState)
    }

    private func field(_ code: Int32) -> String {
        unsafe PQresultErrorField(result, code).map { unsafe String(cString: $0) } ?? ""
    }

    var rows: [RecordsRow] {
        let (columnCount, rowCount) = unsafe (PQnfields(result), PQntuples(result))
        let columns = (0..<columnCount).map { column in
            unsafe (String(cString: PQfname(result, column)), PQftype(result, column))
        }
        let names = columns.map(\.0)
        return (0..<rowCount).map { row in
            RecordsRow(
                names: names,
                values: columns.indices.map { value(row, Int32($0), type: columns[$0].1) })
        }
    }

    /// Numbers and bytes by their type, all else as the text that PostgreSQL writes for it.
    private func value(_ row: Int32, _ column: Int32, type: Oid) -> RecordsValue {
        if unsafe PQgetisnull(result, row, column) == 1 { return .null }
        let bytes = unsafe UnsafeRawBufferPointer(
            start: PQgetvalue(result, row, column), count: Int(PQgetlength(result, row, column)))
        if type == PostgresType.bytea { return unsafe .bytes(Self.decodeHex(bytes)) }
        let text = unsafe String(decoding: bytes, as: UTF8.self)
        switch type {
        case PostgresType.int2, PostgresType.int4, PostgresType.int8:
            return Int64(text).map { .integer($0) } ?? .text(text)
        case PostgresType.float4, PostgresType.float8: return Double(text).map { .real($0) } ?? .text(text)
        // A sum of whole numbers is `numeric` here, and a whole number in SQLite.
        case PostgresType.numeric:
            return Int64(text).map { .integer($0) } ?? Double(text).map { .real($0) } ?? .text(text)
        case PostgresType.bool: return .integer(text == "t" ? 1 : 0)
        default: return .text(text)
        }
    }

    /// `\x` and two digits a byte.
    private static func decodeHex(_ text: UnsafeRawBufferPointer) -> [UInt8] {
        stride(from: 2, to: text.count - 1, by: 2).map { unsafe digit(text[$0]) << 4 | digit(text[$0 + 1]) }
    }

    private static func digit(_ character: UInt8) -> UInt8 {
        character <= UInt8(ascii: "9") ? character - UInt8(ascii: "0") : character - UInt8(ascii: "a") + 10
    }
}

/// The numbers of built-in types, from PostgreSQL's catalogue `pg_type.dat`: they never change.
private enum PostgresType {
    static let bool: Oid = 16
    static let bytea: Oid = 17
    static let int8: Oid = 20
    static let int2: Oid = 21
    static let int4: Oid = 23
    static let float4: Oid = 700
    static let float8: Oid = 701
    static let numeric: Oid = 1700
}

extension RecordsValue {
    /// PostgreSQL's text cannot.
    var holdsNUL: Bool { if case .text(let text) = self { text.utf8.contains(0) } else { false } }
}

/// A statement's parameters as libpq takes them: texts, and bytes as they are.
struct PostgresParameters {
    private var storage: [UInt8] = []
    /// Where each begins; nil for null.
    private var starts: [Int?] = []
    private var lengths: [Int32] = []
    private var formats: [Int32] = []

    init(_ values: [RecordsValue]) {
        for value in values {
            let start = storage.count
            starts.append(value == .null ? nil : start)
            switch value {
            case .null: break
            case .integer(let number): storage += String(number).utf8
            case .real(let number): storage += String(number).utf8
            case .text(let text): storage += text.utf8
            case .bytes(let bytes): storage += bytes
            }
            lengths.append(Int32(storage.count - start))
            if case .bytes = value { formats.append(1) } else { formats.append(0) }
            storage.append(0)
        }
    }

    func withPointers<Result>(
        _ body: (Int32, UnsafePointer<UnsafePointer<CChar>?>, UnsafePointer<Int32>, UnsafePointer<Int32>) ->
            Result
    ) -> Result {
        unsafe storage.withUnsafeBytes { bytes in
            let first = unsafe bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
            let pointers = unsafe starts.map { start in
                unsafe start.flatMap { start in unsafe first.map { unsafe $0 + start } }
            }
            return unsafe body(Int32(starts.count), pointers, lengths, formats)
        }
    }
}
