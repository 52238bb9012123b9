internal import Freshet
internal import FreshetReplay
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

    /// - Parameter archive: what the logs have no more; nil for the logs alone.
    static func read(_ broker: Broker, archive: Archive?) async throws -> History {
        var history = History()
        for topic in ShopTopology.topics {
            for partition in 0..<topic.partitions {
                var pages = FreshetReplay.History(of: topic, on: broker, archive: archive)
                    .pages(ofPartition: partition)
                while let page = try await pages.next() {
                    for entry in page { history.add(entry, of: topic) }
                }
            }
        }
        return history
    }

    private mutating func add(_ entry: StreamEntry, of topic: Topic) {
        guard let event = try? entry.event() else {
            invalid[topic.name, default: []].insert(entry.id)
            return
        }
        let key = Key(source: event.source, id: event.id)
        places[topic.name, default: [:]][entry.id] = key
        if let partitionKey = event.partitionKey { keys[key] = partitionKey }
        let isNew =
            events[topic.name, default: [:]].updateValue(event.type, forKey: key) == nil
        if isNew, event.type == OrderConfirmed.eventType,
            let order = try? event.payload(OrderConfirmed.self)
        {
            confirmed.append((order.orderId, order.customerId, order.total, key))
        }
        guard event.type == OrderPlaced.eventType, let order = try? event.payload(OrderPlaced.self)
        else {
            return
        }
        orders[order.orderId, default: (order, [])].events.insert(key)
    }
}
