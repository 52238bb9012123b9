internal import ArgumentParser

/// One row of the comparison: work that the client does, and what it is held against.
enum Row: String, CaseIterable, Sendable, ExpressibleByArgument {
    case publish1 = "publish-1"
    case publish16 = "publish-16"
    case publish256 = "publish-256"
    case publishTasks256 = "publish-tasks-256"
    case readAcknowledge1 = "read-ack-1"
    case readAcknowledge16 = "read-ack-16"
    case readAcknowledge256 = "read-ack-256"
    case latency1000 = "latency-1000"
    case deliverBytes = "deliver-bytes"
    case deliverJSON = "deliver-json"
    case deliverPerKey = "deliver-per-key"
    case deliverAt1000 = "deliver-at-1000"
    case records1 = "records-1"
    case records256 = "records-256"
    case recordsAlone = "records-alone"
    case redeliver
    case archive
    case tlsPublish256 = "tls-publish-256"
    case tlsReadAcknowledge256 = "tls-read-ack-256"

    /// What the client does.
    var work: Work {
        switch self {
        case .publish1: .publish(batch: 1)
        case .publish16: .publish(batch: 16)
        case .publish256, .tlsPublish256: .publish(batch: 256)
        case .publishTasks256: .publishFromTasks(256)
        case .readAcknowledge1: .readAcknowledge(batch: 1)
        case .readAcknowledge16: .readAcknowledge(batch: 16)
        case .readAcknowledge256, .tlsReadAcknowledge256: .readAcknowledge(batch: 256)
        case .latency1000: .latency(rate: 1000)
        case .deliverBytes: .deliver(.bytes)
        case .deliverJSON: .deliver(.json)
        case .deliverPerKey: .deliver(.perKey)
        case .deliverAt1000: .deliverAtRate(1000)
        case .records1: .handle(.each)
        case .records256: .handle(.batch)
        case .recordsAlone: .handle(.alone)
        case .redeliver: .replay(.redeliver)
        case .archive: .replay(.archive)
        }
    }

    /// What the other side does: C has no tasks, so 256 in flight are one pipeline of 256 there, and no subscriptions, so
    /// that it reads and acknowledges the same events.
    var otherWork: Work {
        switch work {
        case .publishFromTasks(let tasks): .publish(batch: tasks)
        case .deliver(.perKey): .deliver(.bytes)
        case .deliver: .readEvents(batch: 256)
        case .deliverAtRate(let rate): .latency(rate: rate)
        case .handle(.alone): .handle(.each)
        // C reads the same events and writes them to another stream.
        case .replay: .copy(batch: 1000)
        default: work
        }
    }

    /// Whose figures are held against the client's: nil is C's.
    var against: String? {
        if usesTLS { return "Swift without TLS" }
        return self == .deliverPerKey ? "Swift without an order" : nil
    }

    /// The rows of `bench delivery`.
    static let delivery: [Row] = [.deliverBytes, .deliverJSON, .deliverPerKey, .deliverAt1000]
    /// The rows of `bench records`.
    static let records: [Row] = [.records1, .records256, .recordsAlone]
    /// The rows of `bench replay`.
    static let replay: [Row] = [.redeliver, .archive]
    /// The rows of `bench client`.
    static let client = allCases.filter { !(delivery + records + replay).contains($0) }

    /// Whether the client goes through TLS, and the other side is the client without.
    var usesTLS: Bool { self == .tlsPublish256 || self == .tlsReadAcknowledge256 }

    /// About a second's work, so that seven rounds of all rows last some minutes.
    var defaultEvents: Int {
        switch work {
        case .publish(1), .readAcknowledge(1): 20_000
        case .publish(16), .readAcknowledge(16): 100_000
        case .publish, .publishFromTasks, .readAcknowledge, .readEvents, .deliver: 256_000
        case .handle: 51_200
        case .replay, .copy: 500_000
        case .latency, .deliverAtRate: 3_000
        }
    }
}
