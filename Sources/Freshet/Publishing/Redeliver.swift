package import Hiredis

extension Broker {
    /// Appends entries of the log to a redelivery stream, every field as it stands there, in one pipeline. Delivery's own
    /// names are left out: on the log nobody vouches for them.
    package func redeliver(_ entries: [StreamEntry], to stream: String, replayID: String)
        async throws(FreshetError)
    {
        guard !entries.isEmpty else { return }
        var pipeline = RedisPipeline()
        for entry in entries {
            let fields = Array(entry.fields)
            var kept: [RedisBytes] = []
            for index in stride(from: 0, to: fields.count - 1, by: 2) {
                guard let name = fields[index].bytes, let value = fields[index + 1].bytes,
                    !name.string.hasPrefix(Field.reservedPrefix)
                else { continue }
                kept += [name, value]
            }
            pipeline.appendXADD(stream, argumentCount: kept.count + 4) { command in
                for bytes in kept { command.append(bytes) }
                command.append(Field.originalID)
                entry.id.write(to: &command)
                command.append(Field.replay)
                command.append(replayID)
            }
        }
        do {
            for reply in try await client.send(pipeline) { try reply.get() }
        } catch { throw FreshetError(error) }
    }
}
