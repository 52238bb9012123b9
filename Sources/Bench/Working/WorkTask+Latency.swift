internal import Hiredis

extension WorkTask {
    private static let digits = 20

    /// A publisher at a steady rate and, on a connection of its own, a reader that blocks for the next event: how long
    /// from just before the XADD until the reader has it.
    func measureLatency(rate: Int) async throws -> Sample {
        let reader = client.dedicated()
        defer { reader.close() }
        try await reader.connect()
        async let latencies = read(warmUp + events, on: reader)
        try await publish(warmUp, atRate: rate)
        let meter = Meter()
        try await publish(events, atRate: rate)
        let counted = try await latencies.suffix(events).sorted()
        var sample = meter.sample(events: events)
        sample.p50Micros = Self.percentile(500, of: counted)
        sample.p99Micros = Self.percentile(990, of: counted)
        sample.p999Micros = Self.percentile(999, of: counted)
        return sample
    }

    private func publish(_ count: Int, atRate rate: Int) async throws {
        try await atRate(rate, count) {
            var pipeline = RedisPipeline()
            appendEvent(stamped(at: MonotonicClock.nanoseconds()), to: &pipeline)
            try await client.send(pipeline)[0].get()
        }
    }

    /// Does something so many times a second.
    func atRate(_ rate: Int, _ count: Int, _ body: () async throws -> Void) async throws {
        let pause = Duration.seconds(1) / rate
        var due = ContinuousClock.now
        // The loop's own timer, as a consumer's pauses: Task.sleep would be Dispatch's, with threads of its own.
        let alarm = LoopAlarm(on: client.loop)
        for _ in 0..<count {
            let left = due - ContinuousClock.now
            if left > .zero { await alarm.wait(for: left) }
            try await body()
            due += pause
        }
    }

    private func read(_ count: Int, on reader: RedisClient) async throws -> [Double] {
        var micros: [Double] = []
        micros.reserveCapacity(count + Self.payloadBytes)
        while micros.count < count {
            let reply = try await reader.send(readCommand(count: 256, blocks: true))[0].get()
            let arrived = MonotonicClock.nanoseconds()
            guard let entries = Self.entries(of: reply) else { continue }
            for entry in entries {
                guard let payload = entry.array?[1].array?[1].bytes else { continue }
                micros.append(Double(arrived - Self.stamp(of: payload)) / 1000)
            }
            try await reader.send(acknowledgement(of: entries))[0].get()
        }
        return micros
    }

    /// The payload, its first bytes replaced by the time in decimal.
    func stamped(at time: UInt64) -> [UInt8] {
        var payload = payload
        var rest = time
        for position in (0..<Self.digits).reversed() {
            payload[position] = UInt8(ascii: "0") + UInt8(rest % 10)
            rest /= 10
        }
        return payload
    }

    private static func stamp(of payload: RedisBytes) -> UInt64 {
        unsafe payload.withUnsafeBytes { bytes in
            unsafe bytes.prefix(digits).reduce(0) { $0 * 10 + UInt64($1 - UInt8(ascii: "0")) }
        }
    }

    static func stamp(of payload: [UInt8]) -> UInt64 {
        payload.prefix(digits).reduce(0) { $0 * 10 + UInt64($1 - UInt8(ascii: "0")) }
    }

    /// The nearest rank: the smallest value that is not below so many thousandths of the values.
    static func percentile(_ thousandths: Int, of sorted: [Double]) -> Double {
        sorted[(thousandths * sorted.count + 999) / 1000 - 1]
    }
}
