/// A subscription's handlers by event type and kind of delivery.
struct HandlerTable: Sendable {
    private let live: [EventType: Handler]
    private let redelivery: [EventType: Handler]
    private let rebuild: [EventType: Handler]
    /// For which deliveries each type has a handler.
    let kinds: [EventType: DeliveryKinds]
    /// The newest version that each type's handlers read.
    let newestVersions: [EventType: Int]
    /// The most events that one handler takes at a time.
    let largestBatch: Int
    /// The first handler's that cannot read what it may meet.
    let problem: FreshetError?

    /// - Parameter kinds: what all of them are for at most.
    init(_ list: [On], for kinds: DeliveryKinds) {
        let handlers = list.map { (on: $0, handler: Handler($0), kinds: $0.kinds.intersection(kinds)) }
        func table(_ kind: DeliveryKinds) -> [EventType: Handler] {
            Dictionary(handlers.filter { $0.kinds.contains(kind) }.map { ($0.on.type, $0.handler) }) {
                first, _ in
                preconditionFailure("two handlers for '\(first.type)' in one subscription")
            }
        }
        (live, redelivery, rebuild) = (table(.live), table(.redelivery), table(.rebuild))
        self.kinds = Dictionary(handlers.map { ($0.on.type, $0.kinds) }) { $0.union($1) }
        newestVersions = Dictionary(handlers.map { ($0.on.type, $0.on.newestVersion) }, uniquingKeysWith: min)
        largestBatch = list.reduce(1) { most, on in
            if case .batch(let batch) = on.call { max(most, batch.most) } else { most }
        }
        problem = list.lazy.compactMap(\.problem).first
    }

    /// - Parameter kind: one kind.
    subscript(type: EventType, kind: DeliveryKinds) -> Handler? {
        switch kind {
        case .redelivery: redelivery[type]
        case .rebuild: rebuild[type]
        default: live[type]
        }
    }
}
