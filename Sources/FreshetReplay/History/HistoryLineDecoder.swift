package import Freshet
package import Hiredis

/// Collects entries from their lines, so that a page of them is one allocation. Strict: a line has exactly the members
/// that `HistoryLine` writes, in any order.
package struct HistoryLineDecoder {
    private var ids: [StreamID] = []
    private var counts: [Int] = []
    private var lengths: [Int] = []
    private var texts: [UInt8] = []

    package init() {}

    /// How many entries there are.
    package var count: Int { ids.count }

    /// Adds the line at these bytes, with or without its end.
    package mutating func add(_ bytes: [UInt8], in range: Range<Int>) throws(FreshetError) -> (
        topic: TopicName?, partition: Int?
    ) {
        var parser = HistoryLineParser(bytes, range)
        let before = (lengths.count, texts.count)
        do throws(FreshetError) {
            let members = try parser.parse(lengths: &lengths, texts: &texts)
            ids.append(members.id)
            counts.append(lengths.count - before.0)
            return (members.topic, members.partition)
        } catch {
            lengths.removeSubrange(before.0...)
            texts.removeSubrange(before.1...)
            throw error
        }
    }

    /// The entries; none are left.
    package mutating func takeEntries() -> [StreamEntry] {
        let rows = RedisReplies.rows(of: counts, textLengths: lengths, bytes: texts)
        let entries = zip(ids, rows).map { StreamEntry(id: $0, fields: $1) }
        ids.removeAll(keepingCapacity: true)
        counts.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
        texts.removeAll(keepingCapacity: true)
        return entries
    }
}
