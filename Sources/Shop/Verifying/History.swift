internal import Freshet
internal import Hiredis
internal import ShopEvents

/// What the logs say happened: each event once, by its source and id.
struct History: Sendable {
    struct Key: Hashable, Sendable, CustomStringConvertible {
        let source: String
        let id: String
        var description: String { "\(source)/\(id)" }
    }

    /// By topic: the events, each once however often it stands there, with their type.
    var events: [TopicName: [Key: EventType]] = [:]
    /// By topic: the entries that are no events.
    var invalid: [TopicName: Set<StreamID>] = [:]
    /// By topic: where events stand.
    var places: [TopicName: [StreamID: Key]] = [:]
    /// The partition keys of events that have one.
    var keys: [Key: String] = [:]
    /// The orders that were placed, each as it was placed first.
    var orders: [String: (order: OrderPlaced, events: Set<Key>)] = [:]

    /// The confirmations: order, customer, total, event.
    var confirmed: [(orderID: String, customerID: String, total: Int64, key: Key)] = []

    static func read(_ broker: Broker) async throws -> History {
        var history = History()
        for topic in ShopTopology.topics {
            for try await entry in broker.history(of: topic) {
                guard let event = try? entry.event() else {
                    history.invalid[topic.name, default: []].insert(entry.id)
                    continue
                }
                let key = Key(source: event.source, id: event.id)
                history.places[topic.name, default: [:]][entry.id] = key
                if let partitionKey = event.partitionKey { history.keys[key] = partitionKey }
                let isNew =
                    history.events[topic.name, default: [:]].updateValue(event.type, forKey: key) == nil
                if isNew, event.type == OrderConfirmed.eventType,
                    let order = try? event.payload(OrderConfirmed.self)
                {
                    history.confirmed.append((order.orderId, order.customerId, order.total, key))
                }
                guard event.type == OrderPlaced.eventType, let order = try? event.payload(OrderPlaced.self)
                else {
                    continue
                }
                history.orders[order.orderId, default: (order, [])].events.insert(key)
            }
        }
        return history
    }
}
