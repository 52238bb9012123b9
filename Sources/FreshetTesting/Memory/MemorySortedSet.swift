/// A sorted set: members by score, those of one score by their bytes.
struct MemorySortedSet {
    struct Element {
        let score: Double
        let member: Bytes

        func stands(before other: Element) -> Bool {
            score == other.score ? member.lexicographicallyPrecedes(other.member) : score < other.score
        }
    }

    private(set) var elements: [Element] = []
    private var scores: [Bytes: Double] = [:]

    /// Whether it is new.
    mutating func add(_ member: Bytes, _ score: Double) -> Bool {
        let isNew = !remove(member)
        let element = Element(score: score, member: member)
        elements.insert(element, at: firstIndex(notBefore: element))
        scores[member] = score
        return isNew
    }

    mutating func remove(_ member: Bytes) -> Bool {
        guard let score = scores.removeValue(forKey: member) else { return false }
        elements.remove(at: firstIndex(notBefore: Element(score: score, member: member)))
        return true
    }

    func score(_ member: Bytes) -> Double? { scores[member] }

    private func firstIndex(notBefore element: Element) -> Int {
        var (low, high) = (0, elements.count)
        while low < high {
            let middle = (low + high) / 2
            if elements[middle].stands(before: element) { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension MemoryStore {
    private func elements(_ key: String) throws(MemoryError) -> MemorySortedSet {
        switch value(key) {
        case .sortedSet(let set): return set
        case nil: return MemorySortedSet()
        default: throw .wrongType
        }
    }

    func sortedSets(_ arguments: inout MemoryArguments) throws(MemoryError) -> MemoryReply? {
        switch arguments.name {
        case "ZADD":
            let key = try arguments.text()
            var (set, added) = (try elements(key), 0)
            let isNewOnly = arguments.take("NX")
            while !arguments.isEmpty {
                guard let score = Double(try arguments.text()) else {
                    throw MemoryError("ERR value is not a valid float")
                }
                let member = try arguments.bytes()
                if isNewOnly, set.score(member) != nil { continue }
                if set.add(member, score) { added += 1 }
            }
            self.set(key, .sortedSet(set))
            return .integer(added)
        case "ZCARD": return .integer(try elements(try arguments.text()).elements.count)
        case "ZSCORE":
            let set = try elements(try arguments.text())
            return set.score(try arguments.bytes()).map { .text(Self.text($0)) } ?? .null
        case "ZREM":
            let key = try arguments.text()
            var set = try elements(key)
            let removed = arguments.all.count { set.remove($0) }
            self.set(key, set.elements.isEmpty ? nil : .sortedSet(set))
            return .integer(removed)
        case "ZRANGE", "ZREVRANGE":
            let set = try elements(try arguments.text()).elements
            let (first, last) = (try arguments.integer(), try arguments.integer())
            let start = max(0, first < 0 ? set.count + first : first)
            let end = min(set.count - 1, last < 0 ? set.count + last : last)
            guard start <= end else { return .array([]) }
            let found =
                arguments.name == "ZRANGE" ? set[start...end] : ArraySlice(set.reversed()[start...end])
            return Self.reply(found, withScores: arguments.take("WITHSCORES"))
        case "ZRANGEBYSCORE":
            let set = try elements(try arguments.text()).elements
            let (first, last) = (try score(try arguments.text()), try score(try arguments.text()))
            var found = set.filter { first <= $0.score && $0.score <= last }[...]
            let withScores = arguments.take("WITHSCORES")
            if arguments.take("LIMIT") {
                let (offset, count) = (try arguments.integer(), try arguments.integer())
                found = found.dropFirst(offset).prefix(count < 0 ? .max : count)
            }
            return Self.reply(found, withScores: withScores)
        default: return nil
        }
    }

    private func score(_ text: String) throws(MemoryError) -> Double {
        switch text {
        case "-inf": return -.infinity
        case "+inf", "inf": return .infinity
        default:
            guard let score = Double(text) else { throw MemoryError("ERR min or max is not a float") }
            return score
        }
    }

    private static func text(_ score: Double) -> String {
        score == score.rounded() && abs(score) < 1e17 ? "\(Int(score))" : "\(score)"
    }

    private static func reply(_ elements: ArraySlice<MemorySortedSet.Element>, withScores: Bool)
        -> MemoryReply
    {
        .array(
            elements.flatMap { withScores ? [.bulk($0.member), .text(text($0.score))] : [.bulk($0.member)] })
    }
}
