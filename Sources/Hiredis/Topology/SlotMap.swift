/// Which node has which slots, as a node of the cluster tells it (`CLUSTER SLOTS`).
struct SlotMap {
    /// The primaries.
    private(set) var nodes: [RedisConfiguration.Address] = []
    private var owners = [Int16](repeating: -1, count: HashSlot.count)
    /// The cluster's configuration epoch when the node was asked: a later map has at least the same.
    var epoch = 0

    /// Who has this slot, or nil when nobody is known to.
    func owner(of slot: Int) -> RedisConfiguration.Address? {
        owners[slot] < 0 ? nil : nodes[Int(owners[slot])]
    }

    /// The slot was seen to have moved there.
    mutating func assign(_ slot: Int, to node: RedisConfiguration.Address) {
        owners[slot] = index(of: node)
    }

    private mutating func index(of node: RedisConfiguration.Address) -> Int16 {
        if let known = nodes.firstIndex(of: node) { return Int16(known) }
        nodes.append(node)
        return Int16(nodes.count - 1)
    }

    init() {}

    /// - Parameter asked: the node that answered; it is meant when an answer leaves the host out.
    init(_ reply: RedisReply, asked: RedisConfiguration.Address) throws(RedisError) {
        guard let ranges = reply.array else {
            throw RedisError(.unexpectedReply, "CLUSTER SLOTS gave no list")
        }
        for range in ranges {
            guard let parts = range.array, parts.count >= 3, let first = parts[0].integer,
                let last = parts[1].integer, first >= 0, first <= last, last < HashSlot.count,
                let node = parts[2].array, node.count >= 2, let port = node[1].integer
            else { throw RedisError(.unexpectedReply, "CLUSTER SLOTS gave a range of another shape") }
            let owner = index(of: Self.address(node[0].string ?? "", port, asked: asked))
            for slot in first...last { owners[slot] = owner }
        }
    }

    /// A redirection: `MOVED 3999 host:port`, `ASK 3999 host:port`; an empty host is that of the node that said so.
    static func redirection(
        _ message: String, from asked: RedisConfiguration.Address
    ) -> (slot: Int, node: RedisConfiguration.Address)? {
        let words = message.split(separator: " ")
        guard words.count >= 3, let slot = Int(words[1]), (0..<HashSlot.count).contains(slot),
            let colon = words[2].lastIndex(of: ":"), let port = Int(words[2][words[2].index(after: colon)...])
        else { return nil }
        return (slot, address(String(words[2][..<colon]), port, asked: asked))
    }

    private static func address(_ host: String, _ port: Int, asked: RedisConfiguration.Address)
        -> RedisConfiguration.Address
    {
        if (host.isEmpty || host == "?"), case .tcp(let own, _) = asked { return .tcp(host: own, port: port) }
        return .tcp(host: host, port: port)
    }
}
