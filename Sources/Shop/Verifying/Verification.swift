internal import Freshet
internal import FreshetRecords
internal import FreshetReplay
internal import ShopEvents

/// One thing that must hold, and whether it does.
struct Check: Codable, Sendable {
    /// Which guarantee it belongs to: delivery, records, money or owners.
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
    /// What the logs have no more; nil for the logs alone.
    let archive: Archive?
    /// Whether no event was brought back by hand, so that each key's were handled in the order of the log.
    let inOrder: Bool

    func run() async throws -> [Check] {
        // The databases first: what they have handled by now is in the log that is read after them.
        var services: [String: ServiceState] = [:]
        for service in ShopTopology.services {
            services[service] = try await ServiceState.read(service, folder)
        }
        let scheduled = try await DeliveryChecks.scheduledCount(broker)
        let history = try await History.read(broker, archive: archive)
        let delivery = DeliveryChecks(
            broker: broker, history: history, services: services, scheduledCount: scheduled)
        let records = try await RecordChecks(folder: folder, history: history, services: services)
        let owners = OwnerChecks(history: history, services: services, inOrder: inOrder)
        return try await delivery.run() + records.run() + owners.run()
    }
}
