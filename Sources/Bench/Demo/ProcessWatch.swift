/// What the shop's processes have cost, as last seen in /proc.
struct ProcessWatch: Sendable {
    /// One process.
    struct Seen: Sendable {
        let name: String
        /// By id: threads of a pool come and go.
        var threads: [Int32: ThreadTime] = [:]
        /// Of what it had cost before the shop began.
        let before: Double
        var seconds = 0.0
    }
    private let shop: Int32
    /// PostgreSQL's first process.
    private let postgres: Int32?
    private var seen: [Int32: Seen] = [:]

    /// - Parameters:
    ///   - shop: the process whose children are the workers and the server.
    ///   - postgres: the database's first process, which others may use too; nil when there is none.
    init(_ shop: Int32, postgres: Int32?) {
        (self.shop, self.postgres) = (shop, postgres)
        for process in ThreadTime.processes() where isOfPostgres(process) {
            seen[process.id] = Seen(name: process.name, before: process.seconds)
        }
    }

    private func isOfPostgres(_ process: ThreadTime) -> Bool {
        postgres.map { process.id == $0 || process.parent == $0 } ?? false
    }

    mutating func look() {
        for process in ThreadTime.processes() {
            let isOfShop = process.id == shop || process.parent == shop
            guard isOfShop || isOfPostgres(process) else { continue }
            var known = seen[process.id] ?? Seen(name: process.name, before: 0)
            known.seconds = process.seconds - known.before
            if isOfShop {
                for thread in ThreadTime.all(of: process.id) { known.threads[thread.id] = thread }
            }
            seen[process.id] = known
        }
    }

    /// Seconds of all processes that are called so.
    func seconds(of name: String) -> Double {
        seen.values.filter { $0.name == name }.reduce(0) { $0 + $1.seconds }
    }

    /// Of all processes that are called so, by their threads' work.
    func threads(of name: String) -> ThreadTimes {
        seen.filter { $0.value.name == name }.reduce(ThreadTimes()) { sum, process in
            sum + ThreadTimes(Array(process.value.threads.values), of: process.key)
        }
    }
}
