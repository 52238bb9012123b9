/// A service's own database: transactions on one SQL text that every supported database takes.
///
/// Statements number their parameters `$1`, `$2`, ... in the order of their first appearance. Column types that all
/// understand: TEXT, BIGINT, INTEGER, DOUBLE PRECISION.
public protocol Records: Sendable {
    /// Where its SQL differs.
    var dialect: SQLDialect { get }

    /// Runs the body in one write transaction: all of it or nothing.
    ///
    /// Bodies given at the same time may share one commit; each still sees the effects of the ones before it and fails
    /// alone. The body runs on the database's own thread and may run again when a shared commit fails, so its only
    /// effects are those on the database.
    ///
    /// - Parameters:
    ///   - first: statements that the transaction begins with; those of bodies that share a commit go to the database together.
    ///   - body: is given how many rows each of `first` changed.
    func transaction<Value: Sendable>(
        after first: [RecordsStatement],
        _ body: @escaping @Sendable (any RecordsTransaction, [Int]) throws -> Value
    ) async throws -> Value

    /// Runs the body outside a write transaction, for reading what is committed.
    func read<Value: Sendable>(
        _ body: @escaping @Sendable (any RecordsTransaction) throws -> Value
    ) async throws -> Value

    /// Calls back when listening has begun, and whenever a transaction has committed that ran the dialect's `announcement`, in
    /// whichever process. Returns at once where the database cannot say so; otherwise it ends with the task, or throws when the
    /// database goes away.
    func listen(_ onNotice: @escaping @Sendable () -> Void) async throws
}

extension Records {
    /// The database cannot say so.
    public func listen(_ onNotice: @escaping @Sendable () -> Void) async throws {}

    /// Runs the body in one write transaction: all of it or nothing.
    public func transaction<Value: Sendable>(
        _ body: @escaping @Sendable (any RecordsTransaction) throws -> Value
    ) async throws -> Value {
        try await transaction(after: []) { transaction, _ in try body(transaction) }
    }
}

/// A statement with its values.
public struct RecordsStatement: Sendable {
    /// The text, with `$1`, `$2`, ... for the values.
    public let sql: String
    /// The values.
    public let values: [RecordsValue]

    /// A statement.
    public init(_ sql: String, _ values: RecordsValue...) {
        self.sql = sql
        self.values = values
    }
}

/// The few words that databases do not share.
public struct SQLDialect: Sendable {
    /// The type of a column that numbers rows in the order in which they were written, as primary key.
    public let identityColumn: String
    /// The type of a column of bytes.
    public let bytesColumn: String
    /// What ends a SELECT whose rows are not to change before the transaction has ended.
    public let sharedLock: String
    /// A column of every table that rises with each row that is inserted; nil where there is none.
    public var rowOrder: String?
    /// What tells those who `listen` that its transaction has committed; nil where the database has no such thing.
    public var announcement: RecordsStatement?
}

/// Statements within a transaction. Not to be kept or used after its body has returned. After a statement has failed the
/// body throws: its transaction takes no more.
public protocol RecordsTransaction {
    /// Runs a statement; returns how many rows it changed.
    @discardableResult
    func execute(_ sql: String, _ values: [RecordsValue]) throws -> Int

    /// Runs a query; returns its rows.
    func query(_ sql: String, _ values: [RecordsValue]) throws -> [RecordsRow]

    /// Runs a statement that nothing else in the body depends on, without waiting for it. When it fails, a later statement
    /// or the commit says so.
    func enqueue(_ sql: String, _ values: [RecordsValue]) throws

    /// From here to the end of this transaction no other one is past a `lock` of the same name. First of all statements,
    /// it makes those that read and then write one thing, such as an order, run one after the other on every database.
    func lock(_ name: String) throws
}

extension RecordsTransaction {
    /// Runs a statement; returns how many rows it changed.
    @discardableResult
    public func execute(_ sql: String, _ values: RecordsValue...) throws -> Int { try execute(sql, values) }

    /// Runs a query; returns its rows.
    public func query(_ sql: String, _ values: RecordsValue...) throws -> [RecordsRow] {
        try query(sql, values)
    }

    /// Runs a statement that nothing else in the body depends on, without waiting for it.
    public func enqueue(_ sql: String, _ values: RecordsValue...) throws { try enqueue(sql, values) }
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
        /// The database is not there, is full or takes no writes; nothing was changed, and waiting may cure it.
        public static let unavailable = Code(name: "unavailable")
        /// The database went away during the commit: nobody knows whether it took place.
        public static let unknownOutcome = Code(name: "unknown outcome")
        /// Another process is at it.
        public static let busy = Code(name: "busy")
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
