internal import FoundationEssentials
internal import GRDB
internal import GRDBSQLite

/// Statements on GRDB's connection and from its cache, bound and stepped here: with GRDB's own arguments and cursors a statement
/// of four values costs half as much again (perf, 256 events a commit).
struct SQLiteTransaction: RecordsTransaction {
    let database: Database
    let isTransaction: Bool

    func execute(_ sql: String, _ values: [RecordsValue]) throws -> Int {
        try run(sql, values) { _ in }
        return database.changesCount
    }

    func query(_ sql: String, _ values: [RecordsValue]) throws -> [RecordsRow] {
        var result: [RecordsRow] = []
        var names: [String] = []
        try run(sql, values) { statement in
            if result.isEmpty { names = statement.columnNames }
            let handle = unsafe statement.sqliteStatement
            result.append(
                RecordsRow(names: names, values: names.indices.map { unsafe Self.value(handle, Int32($0)) }))
        }
        return result
    }

    func enqueue(_ sql: String, _ values: [RecordsValue]) throws { _ = try execute(sql, values) }

    /// A transaction that writes is alone.
    func lock(_ name: String) throws {}

    private func run(_ sql: String, _ values: [RecordsValue], _ body: (Statement) -> Void) throws {
        // Some errors (a full disk) end the whole transaction: what a body did after one would stand by itself.
        guard !isTransaction || database.isInsideTransaction else {
            throw RecordsError(.statement, "the transaction has ended with an earlier statement's error")
        }
        let statement = try database.cachedStatement(sql: sql)
        let handle = unsafe statement.sqliteStatement
        // Nothing of one run is left for the next, also after an error.
        defer { unsafe sqlite3_reset(handle) }
        guard unsafe sqlite3_bind_parameter_count(handle) == values.count else {
            throw RecordsError(
                .statement, "a statement has another number of parameters than values: \(sql.prefix(60))")
        }
        for (index, value) in values.enumerated() {
            let code = unsafe Self.bind(value, to: handle, at: Int32(index + 1))
            guard code == SQLITE_OK else { throw error(code) }
        }
        while true {
            switch unsafe sqlite3_step(handle) {
            case SQLITE_DONE: return
            case SQLITE_ROW: body(statement)
            case let code: throw error(code)
            }
        }
    }

    private func error(_ code: Int32) -> DatabaseError {
        let message = unsafe database.sqliteConnection.map { unsafe String(cString: sqlite3_errmsg($0)) }
        return DatabaseError(resultCode: ResultCode(rawValue: code), message: message)
    }

    /// SQLite keeps a copy (SQLITE_TRANSIENT): the values need not live as long as the statement.
    private static func bind(_ value: RecordsValue, to statement: OpaquePointer, at index: Int32) -> Int32 {
        let transient = unsafe unsafeBitCast(-1, to: sqlite3_destructor_type.self)
        switch value {
        case .null: return unsafe sqlite3_bind_null(statement, index)
        case .integer(let number): return unsafe sqlite3_bind_int64(statement, index, number)
        case .real(let number): return unsafe sqlite3_bind_double(statement, index, number)
        case .text(var text):
            return text.withUTF8 { bytes in
                // Without an address it would be null.
                guard let base = bytes.baseAddress else {
                    return unsafe sqlite3_bind_text(statement, index, "", 0, transient)
                }
                return unsafe base.withMemoryRebound(to: CChar.self, capacity: bytes.count) {
                    unsafe sqlite3_bind_text(statement, index, $0, Int32(bytes.count), transient)
                }
            }
        case .bytes(let bytes):
            guard !bytes.isEmpty else { return unsafe sqlite3_bind_zeroblob(statement, index, 0) }
            return unsafe sqlite3_bind_blob(statement, index, bytes, Int32(bytes.count), transient)
        }
    }

    private static func value(_ statement: OpaquePointer, _ index: Int32) -> RecordsValue {
        switch unsafe sqlite3_column_type(statement, index) {
        case SQLITE_INTEGER: return unsafe .integer(sqlite3_column_int64(statement, index))
        case SQLITE_FLOAT: return unsafe .real(sqlite3_column_double(statement, index))
        case SQLITE_TEXT:
            let text = unsafe UnsafeBufferPointer(
                start: sqlite3_column_text(statement, index),
                count: Int(sqlite3_column_bytes(statement, index)))
            return unsafe .text(String(decoding: text, as: UTF8.self))
        case SQLITE_BLOB:
            let bytes = unsafe UnsafeRawBufferPointer(
                start: sqlite3_column_blob(statement, index),
                count: Int(sqlite3_column_bytes(statement, index)))
            return unsafe .bytes(Array(bytes))
        default: return .null
        }
    }
}
