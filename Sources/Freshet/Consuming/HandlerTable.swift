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
    /// The types whose handlers have not said whether they are for a rebuild.
    let unsaid: [EventType]
    /// The first handler's that cannot read what it may meet.
    let problem: FreshetError?

    /// - Parameter kinds: what all of them are for at most, and what those are for that do not say; nil for what each says.
    init(_ list: [On], for kinds: DeliveryKinds?) {
        let handlers = list.map { on in
            let own = on.kinds ?? kinds ?? [.live, .redelivery]
            return (on: on, handler: Handler(on), kinds: own.intersection(kinds ?? .all))
        }
        unsaid = kinds == nil ? Set(list.filter { $0.kinds == nil }.map(\.type)).sorted() : []
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
