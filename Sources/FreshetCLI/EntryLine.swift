internal import FoundationEssentials
internal import Freshet
internal import Hiredis

/// An entry as it is printed.
struct EntryLine: Encodable {
    let id: String
    let partition: Int
    /// By name; a value that is not UTF-8 stands in base64 under its name with `_base64`.
    private(set) var fields: [String: String] = [:]

    init(_ entry: StreamEntry, partition: Int) {
        id = entry.id.description
        self.partition = partition
        var iterator = entry.fields.makeIterator()
        while let name = iterator.next()?.bytes, let value = iterator.next()?.bytes {
            if let text = value.validString {
                fields[name.string] = text
            } else {
                fields["\(name.string)_base64"] = Data(value.array).base64EncodedString()
            }
        }
    }

    var type: String { fields["type"] ?? "-" }
    var key: String { fields["partitionkey"] ?? "-" }
    var data: String { fields["data"] ?? fields["data_base64"] ?? "" }
}

/// Entries of several partitions in the order of their ids, a page of each in memory.
struct MergedEntries {
    private var heads: [(partition: Int, entry: StreamEntry, rest: StreamEntries.Iterator)] = []

    init(_ topic: Topic, from: StreamID, on broker: Broker) async throws {
        for partition in 0..<topic.partitions {
            let log = broker.keys(topic.name, partition).events
            var rest = broker.entries(of: log, in: from ... .newest).makeAsyncIterator()
            if let entry = try await rest.next() { heads.append((partition, entry, rest)) }
        }
    }

    mutating func next() async throws -> (partition: Int, entry: StreamEntry)? {
        guard let index = heads.indices.min(by: { heads[$0].entry.id < heads[$1].entry.id }) else {
            return nil
        }
        var head = heads[index]
        let first = (head.partition, head.entry)
        if let following = try await head.rest.next() {
            head.entry = following
            heads[index] = head
        } else {
            heads.remove(at: index)
        }
        return first
    }
}
