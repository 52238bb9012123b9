internal import ArgumentParser

/// What one measurement does, by the name that both programs take.
enum Work: Sendable, Hashable {
    /// XADD, so many in one pipeline.
    case publish(batch: Int)
    /// So many tasks that share one client, each awaiting its own XADD.
    case publishFromTasks(Int)
    /// XREADGROUP of so many entries, and one XACK of them.
    case readAcknowledge(batch: Int)
    /// So many events a second, from the XADD to a reader that blocks.
    case latency(rate: Int)

    var name: String {
        switch self {
        case .publish(let batch): "publish-\(batch)"
        case .publishFromTasks(let tasks): "publish-tasks-\(tasks)"
        case .readAcknowledge(let batch): "read-ack-\(batch)"
        case .latency(let rate): "latency-\(rate)"
        }
    }

    /// A measurement has a whole multiple of so many events.
    var unit: Int {
        switch self {
        case .publish(let batch), .readAcknowledge(let batch): batch
        case .publishFromTasks(let tasks): tasks
        case .latency: 1
        }
    }
}

extension Work: ExpressibleByArgument {
    init?(argument: String) {
        guard let dash = argument.lastIndex(of: "-"),
            let number = Int(argument[argument.index(after: dash)...]), (1...1_000_000).contains(number)
        else { return nil }
        switch argument[..<dash] {
        case "publish": self = .publish(batch: number)
        case "publish-tasks": self = .publishFromTasks(number)
        case "read-ack": self = .readAcknowledge(batch: number)
        case "latency": self = .latency(rate: number)
        default: return nil
        }
    }
}
