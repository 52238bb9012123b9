internal import Freshet
internal import Hiredis

extension Broker {
    /// The histories of the servers that have a topic's partitions (`master_replid`): another one after a failover, or a restart, which
    /// may have lost what was acknowledged. Empty where the server does not say.
    func histories(of topic: TopicName, partitions: Int) async throws(FreshetError) -> [String] {
        var histories: [String] = []
        for partition in 0..<partitions {
            // A command without a key goes with the one before it.
            var pipeline = RedisPipeline()
            pipeline.append("EXISTS", keys(topic, partition).events)
            pipeline.append("INFO", "replication")
            let text = try await send(pipeline)[1].string ?? ""
            let line = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix("master_replid:") }
            histories.append(line.map { String($0.dropFirst("master_replid:".count)) } ?? "")
        }
        return histories
    }
}
