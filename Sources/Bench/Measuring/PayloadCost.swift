internal import Freshet
internal import Glibc

/// What a payload's JSON costs alone, in microseconds of CPU.
struct PayloadCost: Sendable {
    let decoding: Double
    let encoding: Double
    private static let turns = 5000

    init<Payload: EventPayload>(of payload: Payload) throws {
        let event = try Event(payload, source: "bench", id: "1")
        // The first turns fill caches, as a service's first events do.
        decoding = try Self.micros { _ = try event.decode(Payload.self) }
        encoding = try Self.micros { _ = try Event(payload, source: "bench", id: "1", time: event.time) }
    }

    private static func micros(_ body: () throws -> Void) rethrows -> Double {
        for _ in 0..<(turns / 10) { try body() }
        let started = threadMicros()
        for _ in 0..<turns { try body() }
        return (threadMicros() - started) / Double(turns)
    }

    private static func threadMicros() -> Double {
        var time = timespec()
        unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) * 1e6 + Double(time.tv_nsec) / 1000
    }
}
