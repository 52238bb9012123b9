internal import Hiredis

extension WorkTask {
    /// Pipelines of so many XADDs, each awaited before the next.
    func publish(_ count: Int, inBatchesOf batch: Int) async throws {
        for _ in 0..<(count / batch) {
            var pipeline = RedisPipeline()
            pipeline.reserveCapacity(batch * (payload.count + stream.utf8.count + 64))
            for _ in 0..<batch { appendEvent(payload, to: &pipeline) }
            for reply in try await client.send(pipeline) { try reply.get() }
        }
    }

    /// So many tasks at a time, each awaiting its own XADD before its next.
    func publish(_ count: Int, fromTasks tasks: Int) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            for _ in 0..<tasks {
                group.addTask { try await publish(count / tasks, inBatchesOf: 1) }
            }
        }
    }

    /// One XADD of one field.
    func appendEvent(_ payload: [UInt8], to pipeline: inout RedisPipeline) {
        pipeline.append(argumentCount: 5) { command in
            command.append("XADD")
            command.append(stream)
            command.append("*")
            command.append("data")
            command.append(bytes: payload)
        }
    }
}
