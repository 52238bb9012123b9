internal import Hiredis

extension Publisher {
    /// Keeps an event until this moment, by the server's clock, and then appends it to its partition's log.
    ///
    /// The consumers of the topic do that: at the moment when they know of it, a second later when it was published a moment
    /// before, and as soon as one starts when none runs. To call it again with the same event and time changes nothing.
    public func publish(_ event: Event, deliverAt time: Timestamp) async throws(FreshetError) {
        try await publish([event], deliverAt: time)
    }

    /// The same for several events, in one step for those of a partition. Those that are due at the same moment join the log
    /// in the order of their ids, which is that of their making when nothing else was said.
    public func publish(_ events: [Event], deliverAt time: Timestamp) async throws(FreshetError) {
        _ = try await state.settings(of: topic, on: broker)
        let partitions = events.map(partition(of:))
        for partition in Set(partitions).sorted() {
            let own = zip(events, partitions).filter { $0.1 == partition }.map(\.0)
            for start in stride(from: 0, to: own.count, by: 200) {
                let batch = own[start..<min(start + 200, own.count)]
                do {
                    try await PublishingScripts.schedule.run(
                        on: broker.client, keys: [broker.keys(topic.name, partition).scheduled],
                        argumentCount: batch.reduce(0) { $0 + 2 + $1.argumentCount }
                    ) { command in
                        for event in batch {
                            command.append(String(time.milliseconds))
                            event.argumentCount.write(to: &command)
                            event.write(to: &command)
                        }
                    }
                } catch { throw FreshetError(error) }
                state.confirmed(batch.count)
            }
        }
    }
}
