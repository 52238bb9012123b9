/// What a cluster's node says about itself: its own line of `CLUSTER NODES`.
struct ClusterMember: Equatable {
    let id: String
    /// The id of the primary that it follows; nil for a primary.
    let primary: String?
    /// Of two that claim a slot, the one with the higher epoch has it.
    let epoch: Int
    /// Those it has; those it only imports are not among them.
    let slots: [ClosedRange<Int>]

    /// Reads the line that is marked `myself`; nil when there is none.
    init?(nodes text: String) {
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.split(separator: " ")
            guard words.count >= 8, words[2].split(separator: ",").contains("myself"),
                let epoch = Int(words[6])
            else { continue }
            id = String(words[0])
            primary = words[3] == "-" ? nil : String(words[3])
            self.epoch = epoch
            slots = words[8...].compactMap { word in
                // "7", "0-5460"; "[7-<-id]" and "[7->-id]" are moves under way.
                let ends = word.split(separator: "-").map { Int($0) }
                guard let first = ends[0], let last = ends[ends.count - 1], first <= last else { return nil }
                return first...last
            }
            return
        }
        return nil
    }

    /// Whether each replica's line in a node's file gives its primary's shard. A node of 7.2 to 8.1 refuses to start
    /// on a file that does not ("corrupted cluster config file"), and writes such a one when it learns that another is
    /// a replica before it learns which shard that is of (valkey-io/valkey#774). Older ones know no shards.
    static func shardsAgree(inFile text: String) -> Bool {
        var shards: [Substring: Substring] = [:]
        var primaries: [(replica: Substring, primary: Substring)] = []
        for line in text.split(whereSeparator: \.isNewline) {
            // "ID ADDRESS,HOST,tls-port=0,shard-id=… FLAGS PRIMARY …"
            let words = line.split(separator: " ")
            guard words.count >= 8 else { continue }
            shards[words[0]] = words[1].split(separator: ",").first { $0.hasPrefix("shard-id=") }
            if words[3] != "-" { primaries.append((words[0], words[3])) }
        }
        return primaries.allSatisfy { shards[$0.replica] == shards[$0.primary] }
    }
}
