public import Freshet
public import Hiredis

/// An entry of a topic as one line of JSON, byte for byte both ways: what archives and exported files are made of.
///
///     {"id":"1763894000000-0","fields":["specversion","1.0","id","e1","data","{\"number\":1}"]}
///
/// `fields` has names and values in turn, in the order in which they stand in the stream, duplicates kept. A name or value
/// that is no UTF-8 is `{"base64":"..."}`. A file of several topics or partitions says `"topic"` and `"partition"` of each.
public struct HistoryLine: Sendable {
    /// The entry.
    public let entry: StreamEntry
    /// The topic that the line names; nil when it names none.
    public let topic: TopicName?
    /// The partition that the line names; nil when it names none.
    public let partition: Int?

    /// A line of this entry.
    public init(_ entry: StreamEntry, topic: TopicName? = nil, partition: Int? = nil) {
        self.entry = entry
        self.topic = topic
        self.partition = partition
    }

    /// What this line, with or without its end, says. Throws `invalidData` with the reason and the place for a line that
    /// is not one.
    public init(decoding line: [UInt8]) throws(FreshetError) {
        var decoder = HistoryLineDecoder()
        let members = try decoder.add(line, in: 0..<line.count)
        guard let entry = decoder.takeEntries().first else { preconditionFailure("a line without its entry") }
        self.init(entry, topic: members.topic, partition: members.partition)
    }

    /// Appends the line, with its end.
    public func append(to bytes: inout [UInt8]) {
        Self.append(entry, topic: topic, partition: partition, to: &bytes)
    }
}
