internal import Freshet
internal import FreshetSchema
internal import ShopEvents

/// Who reads what, for those who look at the shop from outside.
struct Reading: Sendable {
    let topic: Topic
    let group: GroupName
    /// The types that the group has a handler for; others of the topic it acknowledges and passes over.
    let types: Set<EventType>
}

enum ShopTopology {
    private static let contracts: [ServiceContract] = [.order, .customer, .payment]
    static let services = contracts.map(\.service.rawValue)
    static let topics: [Topic] = [.orders, .customers, .payments]
    static let readings = contracts.flatMap { contract in
        let live = contract.receives.filter { $0.kinds.contains(.live) }
        return Dictionary(grouping: live, by: \.topic).sorted { $0.key.name < $1.key.name }.map {
            Reading(topic: $0.key, group: contract.service, types: Set($0.value.map(\.type)))
        }
    }
}
