public import Freshet
internal import Hiredis

/// Has one group see events of a topic's history again, through its redelivery stream.
///
/// Live reading goes on, and no other group notices. A group with records skips what its inbox has: only lost work is
/// done again.
public struct Redelivery: Sendable {
    /// What is redelivered.
    public struct Selection: Sendable {
        /// The topic.
        public var topic: TopicName
        /// The group that sees it again.
        public var group: GroupName
        /// The first and the last place.
        public var range: ClosedRange<StreamID>
        /// Only events of this type.
        public var type: EventType?
        /// Only events with this partition key.
        public var key: String?

        /// All events of this range.
        public init(
            topic: TopicName, group: GroupName, range: ClosedRange<StreamID>, type: EventType? = nil,
            key: String? = nil
        ) {
            self.topic = topic
            self.group = group
            self.range = range
            self.type = type
            self.key = key
        }
    }

    /// What a selection holds.
    public struct Survey: Sendable, Codable {
        /// How many entries are selected.
        public var count = 0
        /// How many of each type; entries without one count under "".
        public var types: [String: Int] = [:]
        /// The first of them.
        public var first: String?
        /// The last of them.
        public var last: String?
    }

    /// Names the replay; handlers see it as `delivery.replayID`.
    public let id = EventID.make()
    private let selection: Selection
    private let broker: Broker
    private let topic: Topic

    /// A redelivery of this selection. Throws `notFound` for a topic or group that does not exist.
    public init(_ selection: Selection, on broker: Broker) async throws(FreshetError) {
        self.selection = selection
        self.broker = broker
        topic = try await broker.existing(selection.topic, selection.group)
    }

    /// Counts what is selected and changes nothing.
    public func survey() async throws(FreshetError) -> Survey {
        var survey = Survey()
        for try await entry in broker.history(of: topic, in: selection.range) where matches(entry) {
            survey.count += 1
            survey.types[entry.field("type")?.string ?? "", default: 0] += 1
            survey.first = survey.first ?? entry.id.description
            survey.last = entry.id.description
        }
        return survey
    }

    /// Puts what is selected on the group's redelivery stream, in the order of the log; returns how many that were.
    ///
    /// Calls back with the count after each batch. When it throws, what was put there before stays: running it again
    /// brings those events once more, under the same source and id.
    public func run(onProgress: (Int) -> Void = { _ in }) async throws(FreshetError) -> Int {
        var count = 0
        for partition in 0..<topic.partitions {
            let keys = broker.keys(topic.name, partition)
            var batch: [StreamEntry] = []
            for try await entry in broker.entries(of: keys.events, in: selection.range) where matches(entry) {
                batch.append(entry)
                guard batch.count == 256 else { continue }
                try await broker.redeliver(batch, to: keys.redelivery(selection.group), replayID: id)
                count += batch.count
                batch = []
                onProgress(count)
            }
            try await broker.redeliver(batch, to: keys.redelivery(selection.group), replayID: id)
            count += batch.count
            onProgress(count)
        }
        return count
    }

    private func matches(_ entry: StreamEntry) -> Bool {
        if let type = selection.type, entry.field("type")?.string != type.rawValue { return false }
        if let key = selection.key, entry.field("partitionkey")?.string != key { return false }
        return true
    }
}

extension Broker {
    /// The topic and group by name, when they exist; an error that lists those that do otherwise.
    func existing(_ name: TopicName, _ group: GroupName) async throws(FreshetError) -> Topic {
        let topics = try await topics()
        guard let topic = topics.first(where: { $0.name == name }) else {
            let known = topics.map(\.name.rawValue).joined(separator: ", ")
            throw FreshetError(
                .notFound,
                "no topic '\(name)' in '\(namespace)' (there are: \(known.isEmpty ? "none" : known))")
        }
        let groups = try await groups(of: topic)
        guard groups.contains(group) else {
            let known = groups.map(\.rawValue).joined(separator: ", ")
            throw FreshetError(
                .notFound, "no group '\(group)' on '\(name)' (there are: \(known.isEmpty ? "none" : known))")
        }
        return topic
    }
}
