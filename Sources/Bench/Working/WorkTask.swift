internal import Hiredis

/// The work of one measurement, by one client: first the warm-up, then what counts.
struct WorkTask: Sendable {
    let client: RedisClient
    let stream: String
    let group: String
    let warmUp: Int
    let events: Int
    /// Where the records are kept, by the work that has any.
    var database = ""
    let payload = [UInt8](repeating: UInt8(ascii: "x"), count: payloadBytes)

    static let payloadBytes = 256

    func run(_ work: Work) async throws -> Sample {
        switch work {
        case .publish(let batch): try await measured { try await publish($0, inBatchesOf: batch) }
        case .publishFromTasks(let tasks): try await measured { try await publish($0, fromTasks: tasks) }
        case .deliver(let kind): try await deliver(kind)
        case .handle(let kind): try await handle(kind)
        case .deliverAtRate(let rate): try await measureDelivery(rate: rate)
        case .readAcknowledge(let batch), .readEvents(let batch):
            try await measured { try await readAndAcknowledge($0, inBatchesOf: batch) }
        case .replay(let kind): try await replay(kind)
        case .copy: throw BenchError("only C copies")
        case .latency(let rate): try await measureLatency(rate: rate)
        }
    }

    private func measured(_ body: (Int) async throws -> Void) async throws -> Sample {
        try await body(warmUp)
        let meter = Meter()
        try await body(events)
        return meter.sample(events: events)
    }
}
