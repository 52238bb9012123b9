internal import ArgumentParser

/// What one measurement does, by the name that both programs take.
enum Work: Sendable, Hashable {
    /// XADD, so many in one pipeline.
    case publish(batch: Int)
    /// So many tasks that share one client, each awaiting its own XADD.
    case publishFromTasks(Int)
    /// XREADGROUP of so many entries, and one XACK of them.
    case readAcknowledge(batch: Int)
    /// The same of whole events, as Freshet writes them.
    case readEvents(batch: Int)
    /// A subscription with room for 256 events.
    case deliver(DeliveryKind)
    /// A subscription whose handler keeps its effects in records.
    case handle(HandlingKind)
    /// All of a topic's history, read and put elsewhere.
    case replay(ReplayKind)
    /// XRANGE of so many entries, and an XADD of each.
    case copy(batch: Int)
    /// So many events a second, from a publisher to a subscription's handler.
    case deliverAtRate(Int)
    /// So many events a second, from the XADD to a reader that blocks.
    case latency(rate: Int)

    var name: String {
        switch self {
        case .publish(let batch): "publish-\(batch)"
        case .publishFromTasks(let tasks): "publish-tasks-\(tasks)"
        case .readAcknowledge(let batch), .readEvents(let batch): "read-ack-\(batch)"
        case .deliver(let kind): kind.rawValue
        case .handle(let kind): kind.rawValue
        case .replay(let kind): kind.rawValue
        case .copy(let batch): "copy-\(batch)"
        case .deliverAtRate(let rate): "deliver-at-\(rate)"
        case .latency(let rate): "latency-\(rate)"
        }
    }

    /// A measurement has a whole multiple of so many events.
    var unit: Int {
        switch self {
        case .publish(let batch), .readAcknowledge(let batch), .readEvents(let batch), .copy(let batch): batch
        case .publishFromTasks(let tasks): tasks
        case .handle: 256
        case .latency, .deliver, .deliverAtRate, .replay: 1
        }
    }

    /// Whether a tenth more is done first, which does not count.
    var warmsUp: Bool {
        switch self {
        case .replay, .copy: false
        default: true
        }
    }

    /// Whether it is about whole events, on a topic.
    var usesEvents: Bool {
        switch self {
        case .readEvents, .deliver, .handle, .deliverAtRate, .replay, .copy: true
        default: false
        }
    }
}

/// What the handler gets, and in which order.
enum DeliveryKind: String, Sendable {
    /// The event's bytes, as they come.
    case bytes = "deliver-bytes"
    /// A payload of 256 bytes, decoded from JSON.
    case json = "deliver-json"
    /// The event's bytes, one at a time of each of 100,000 keys.
    case perKey = "deliver-per-key"
    /// The event's bytes; a tenth of the events is pending at a consumer that has died.
    case pending = "deliver-pending"
}

/// How many events a handler with records has at a time.
enum HandlingKind: String, Sendable {
    /// One in each call, and 256 calls side by side.
    case each = "records-1"
    /// One in each call, one call after the other: nothing shares a commit.
    case alone = "records-alone"
    /// 256 in each call.
    case batch = "records-256"
}

extension Work: ExpressibleByArgument {
    init?(argument: String) {
        if let kind = HandlingKind(rawValue: argument) {
            self = .handle(kind)
            return
        }
        if let kind = ReplayKind(rawValue: argument) {
            self = .replay(kind)
            return
        }
        if let kind = DeliveryKind(rawValue: argument) {
            self = .deliver(kind)
            return
        }
        guard let dash = argument.lastIndex(of: "-"),
            let number = Int(argument[argument.index(after: dash)...]), (1...1_000_000).contains(number)
        else { return nil }
        switch argument[..<dash] {
        case "publish": self = .publish(batch: number)
        case "publish-tasks": self = .publishFromTasks(number)
        case "read-ack": self = .readAcknowledge(batch: number)
        case "deliver-at": self = .deliverAtRate(number)
        case "latency": self = .latency(rate: number)
        default: return nil
        }
    }
}
