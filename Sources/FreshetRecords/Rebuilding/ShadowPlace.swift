/// A database beside which a service's tables can be made anew.
protocol RebuildableRecords: Records {
    /// Throws `busy` while another process, or this one, holds it.
    func lockRebuilding() async throws -> any RebuildLock
    /// An empty place; what was there is removed.
    func makeShadowPlace() async throws -> any ShadowPlace
}

/// One rebuild at a time of a database's tables; ends with its process.
protocol RebuildLock: Sendable {
    func release() async
}

/// Where new tables stand, and how they take the place of those in use.
protocol ShadowPlace: Sendable {
    /// Writes to it.
    var records: any Records { get }
    /// What a table in use is named by where both can be seen; with its dot.
    var live: String { get }
    /// What a new table is named by there; with its dot.
    var made: String { get }

    /// Brings the tables in use within sight of `records`.
    func attach() async throws
    func detach() async
    /// Throws when there is something that cannot be put in place.
    func check(_ transaction: any RecordsTransaction) throws
    /// The service's own tables.
    func tables(in transaction: any RecordsTransaction) throws -> [ShadowTable]
    /// Keeps all others from writing to the tables in use until the transaction ends.
    func lockLive(_ tables: [ShadowTable], in transaction: any RecordsTransaction) throws
    /// Puts the new tables in the place of those in use.
    func replace(_ tables: [ShadowTable], in transaction: any RecordsTransaction) throws
    /// Waits until no transaction is under way that began with `lockLive`.
    func awaitReplacing(in transaction: any RecordsTransaction) throws
    /// Whether there is a `freshet_merge`.
    func isPrepared(in transaction: any RecordsTransaction) throws -> Bool
    /// Has the database look at what is in the new tables.
    func analyze(_ tables: [ShadowTable], in transaction: any RecordsTransaction) throws
    func mark(in live: any RecordsTransaction) throws -> Shadow.Mark
    /// What rows of `inbox i` have come since; maybe a few more.
    func inboxSince(_ mark: Shadow.Mark) -> String
    /// What rows of `outbox o` have come or changed since, or wait; maybe a few more.
    func outboxSince(_ mark: Shadow.Mark) -> String
    func remove() async
}

/// One of a service's own tables.
struct ShadowTable: Sendable {
    enum Kind: Sendable { case table, view, materializedView, sequence }

    let name: String
    let kind: Kind
    /// Its columns as they are compared, in order: by name, or as an expression of that name.
    let columns: [(name: String, compared: String)]
    /// The columns of its primary key.
    let key: [String]

    var quoted: String { Self.quoted(name) }

    static func quoted(_ name: String) -> String {
        "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}
