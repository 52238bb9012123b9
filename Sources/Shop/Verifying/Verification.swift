internal import Freshet
internal import FreshetRecords
internal import ShopEvents

/// One thing that must hold, and whether it does.
struct Check: Codable, Sendable {
    /// Which guarantee it belongs to: delivery, records or money.
    let invariant: String
    let name: String
    let isHeld: Bool
    /// Counts when it holds, the first offenders when it does not.
    let detail: String

    static func of(_ invariant: String, _ name: String, offenders: [String], otherwise: String) -> Check {
        let some = offenders.prefix(5).joined(separator: ", ")
        return Check(
            invariant: invariant, name: name, isHeld: offenders.isEmpty,
            detail: offenders.isEmpty
                ? otherwise : "\(offenders.count): \(some)\(offenders.count > 5 ? ", …" : "")")
    }
}

/// Compares Redis and the services' databases with what must always hold.
struct Verification: Sendable {
    let folder: ShopFolder
    let broker: Broker

    func run() async throws -> [Check] {
        // The databases first: what they have handled by now is in the log that is read after them.
        var services: [String: ServiceState] = [:]
        for service in ShopTopology.services {
            services[service] = try await ServiceState.read(service, folder)
        }
        let history = try await History.read(broker)
        let delivery = DeliveryChecks(broker: broker, history: history, services: services)
        let records = try await RecordChecks(folder: folder, history: history, services: services)
        return try await delivery.run() + records.run()
    }
}

/// What a service's inbox and outbox say.
struct ServiceState: Sendable {
    var inbox: Set<History.Key> = []
    var published: Set<History.Key> = []

    static func read(_ service: String, _ folder: ShopFolder) async throws -> ServiceState {
        try await folder.openDatabase(of: service).read { database in
            func keys(_ sql: String, _ values: RecordsValue...) throws -> Set<History.Key> {
                Set(
                    try database.query(sql, values).map {
                        History.Key(source: $0.text("source") ?? "", id: $0.text("event_id") ?? "")
                    })
            }
            return ServiceState(
                inbox: try keys(
                    "SELECT source, event_id FROM inbox WHERE consumer_group = $1", .text(service)),
                published: try keys(
                    "SELECT source, event_id FROM outbox WHERE published_at IS NOT NULL AND deliver_at IS NULL"
                ))
        }
    }
}
