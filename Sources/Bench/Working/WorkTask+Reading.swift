internal import Hiredis

extension WorkTask {
    /// Reads so many entries, walks every field, and acknowledges what was read in one command.
    func readAndAcknowledge(_ count: Int, inBatchesOf batch: Int) async throws {
        var done = 0
        var bytes = 0
        while done < count {
            let reply = try await client.send(readCommand(count: batch))[0].get()
            guard let entries = Self.entries(of: reply) else { throw BenchError("the stream ended early") }
            for entry in entries {
                guard let fields = entry.array?[1].array else { continue }
                var iterator = fields.makeIterator()
                while iterator.next() != nil, let value = iterator.next() { bytes += value.bytes?.count ?? 0 }
            }
            try await client.send(acknowledgement(of: entries))[0].get()
            done += entries.count
        }
        guard bytes == count * Self.payloadBytes else { throw BenchError("payload bytes are missing") }
    }

    /// An XREADGROUP of at most so many entries; one that blocks waits up to a second for the first.
    func readCommand(count: Int, blocks: Bool = false) -> RedisPipeline {
        var pipeline = RedisPipeline()
        pipeline.append(argumentCount: blocks ? 11 : 9) { command in
            command.append("XREADGROUP")
            command.append("GROUP")
            command.append(group)
            command.append("bench")
            command.append("COUNT")
            command.append(count)
            if blocks {
                command.append("BLOCK")
                command.append(1000)
            }
            command.append("STREAMS")
            command.append(stream)
            command.append(">")
        }
        return pipeline
    }

    /// One XACK of all these entries; the ids go from the reply to the command without a copy in between.
    func acknowledgement(of entries: RedisReplies) -> RedisPipeline {
        var pipeline = RedisPipeline()
        pipeline.reserveCapacity(64 + stream.utf8.count + group.utf8.count + 32 * entries.count)
        pipeline.append(argumentCount: 3 + entries.count) { command in
            command.append("XACK")
            command.append(stream)
            command.append(group)
            for entry in entries {
                guard let id = entry.array?[0].bytes else { preconditionFailure("an entry has an id") }
                command.append(id)
            }
        }
        return pipeline
    }

    /// The entries of an XREADGROUP of one stream; nil when its time was up.
    static func entries(of reply: RedisReply) -> RedisReplies? {
        reply.array?[0].array?[1].array
    }
}
