public import Freshet
public import Hiredis

/// Has one group see events of a topic's history again, through its redelivery stream.
///
/// Live reading goes on, and no other group notices. A group with records skips what its inbox has: only lost work is
/// done again. What is meant is fixed when this is made: the range ends, at the latest, with what the log holds then.
public struct Redelivery: Sendable {
    /// Names the replay; handlers see it as `delivery.replay`.
    public let id = EventID.make()
    /// The first place.
    public let from: StreamID
    /// The last place. When it lies before the first one, nothing is selected.
    public let to: StreamID
    private let selection: RedeliverySelection
    private let broker: Broker
    private let logs: [Log]

    /// A partition's log, as far as it is read.
    private struct Log {
        let key: String
        let redelivery: String
        let range: ClosedRange<StreamID>
        let delivered: StreamID?
    }

    /// A redelivery of this selection. Throws `notFound`, with the names that there are, for a topic or group that does
    /// not exist.
    public init(_ selection: RedeliverySelection, on broker: Broker) async throws(FreshetError) {
        self.selection = selection
        self.broker = broker
        let topic = try await broker.existingTopic(selection.topic, readBy: selection.group)
        let now = try await broker.serverTime()
        from = selection.from.lowerBound(now: now)
        to = selection.to.upperBound(now: now)
        var logs: [Log] = []
        for partition in 0..<topic.partitions {
            let position = try await broker.position(
                of: selection.group, topic: topic.name, partition: partition)
            guard let position, from <= min(to, position.newest) else { continue }
            let keys = broker.keys(topic.name, partition)
            logs.append(
                Log(
                    key: keys.events, redelivery: keys.redelivery(selection.group),
                    range: from...min(to, position.newest), delivered: position.delivered))
        }
        self.logs = logs
    }

    /// Counts what is selected and changes nothing. Reads the range once, a page at a time.
    public func survey() async throws(FreshetError) -> RedeliverySurvey {
        var survey = RedeliverySurvey()
        for log in logs {
            for try await entry in broker.entries(of: log.key, in: log.range) where selection.matches(entry) {
                survey.add(entry, isAhead: log.delivered.map { entry.id > $0 } ?? true)
            }
        }
        return survey
    }

    /// Puts what is selected on the group's redelivery stream, in the order of the log; returns how many that were.
    ///
    /// Every field goes along byte for byte; names that delivery itself adds are left out, since on the log nobody
    /// vouches for them. When it throws, what was put there before stays: running it again brings those events once
    /// more, under the same source and id.
    ///
    /// - Parameter onProgress: called with the count after each page; false ends the run there.
    public func run(onProgress: (Int) -> Bool = { _ in true }) async throws(FreshetError) -> Int {
        var count = 0
        for log in logs {
            var pages = broker.entries(of: log.key, in: log.range).makeAsyncIterator()
            while let page = try await pages.nextPage() {
                let selected = page.filter(selection.matches)
                try await broker.redeliver(selected, to: log.redelivery, replayID: id)
                count += selected.count
                guard onProgress(count) else { return count }
            }
        }
        return count
    }
}
