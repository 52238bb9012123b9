internal import Freshet
internal import Hiredis

extension Broker {
    /// The same as `histories`, once the servers answer.
    func patientHistories(of topic: TopicName, partitions: Int) async throws -> [String] {
        var failure = PassingFailure(at: 0)
        while true {
            if let known = try await histories(of: topic, partitions: partitions, &failure) { return known }
        }
    }

    private func histories(of topic: TopicName, partitions: Int, _ failure: inout PassingFailure)
        async throws -> [String]?
    {
        do { return try await histories(of: topic, partitions: partitions) } catch {
            try await failure.wait(error, at: 0)
            return nil
        }
    }

    /// The histories of the servers that have a topic's partitions (`master_replid`): another one after a
    /// failover, or a restart, which may have lost what was acknowledged. Empty where the server does not
    /// say.
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
