/// A pipeline on its way through a cluster: what is still to be sent, where to, and the replies so far.
///
/// Its commands travel in units: a command with a key and the commands without one that follow it (WAIT belongs to the
/// write before it), or a whole transaction. Units of one node go together, in order.
///
/// Units of one slot run in the order of the pipeline or not at all. A node that recovers in the middle of a
/// pipeline refuses the first of them and runs the next: the first is not sent again then, and its reply is
/// the refusal.
struct Journey {
    private struct Unit {
        let commands: Range<Int>
        let pipeline: RedisPipeline
        let slot: Int?
        /// The node that must be asked this once (ASK).
        var asking: RedisConfiguration.Address?
        var isDone = false
    }

    /// What goes to one node.
    struct Part {
        let node: RedisConfiguration.Address
        let pipeline: RedisPipeline
        /// The units in it, and for each whether every command has an ASKING before it.
        fileprivate let units: [(index: Int, isAsking: Bool)]
    }

    /// What the outcomes ask for.
    enum Next {
        /// Someone else has the slot: at once.
        case redirect
        /// A pause first.
        case retry
    }

    private var units: [Unit] = []
    private var received: [RedisReply?]
    private var whole: RedisReplies?
    private var hasRun = false
    /// Why the last attempt did not end it.
    var lastFailure: RedisError?
    /// The node that said that the cluster is down.
    private(set) var doubted: RedisConfiguration.Address?

    init(_ pipeline: RedisPipeline) {
        received = Array(repeating: nil, count: pipeline.count)
        var scanner = CommandScanner(pipeline)
        var commands: [CommandScanner.Command] = []
        while let command = scanner.next() { commands.append(command) }
        var starts: [Int] = []
        if commands.contains(where: { $0.name == "MULTI" }) {
            starts = [0]
        } else {
            // Commands without a key before the first one with a key belong to that one.
            let first = commands.firstIndex { $0.slot != nil } ?? 0
            for index in commands.indices where index > first && commands[index].slot != nil {
                starts.append(index)
            }
            if !commands.isEmpty { starts.insert(0, at: 0) }
        }
        for (position, start) in starts.enumerated() {
            let end = position + 1 < starts.count ? starts[position + 1] : commands.count
            let bytes = commands[start].range.lowerBound..<commands[end - 1].range.upperBound
            units.append(
                Unit(
                    commands: start..<end,
                    pipeline: starts.count == 1
                        ? pipeline : RedisPipeline(bytes: Array(pipeline.bytes[bytes]), count: end - start),
                    slot: commands[start..<end].lazy.compactMap(\.slot).first))
        }
    }

    var isComplete: Bool { units.allSatisfy(\.isDone) }

    /// Whether each command has a reply, be it one that asks for another attempt.
    var hasAllReplies: Bool { whole != nil || received.allSatisfy { $0 != nil } }

    /// The replies in the order of the commands.
    var replies: RedisReplies { whole ?? RedisReplies(joining: received.compactMap { $0 }) }

    /// An error for the whole pipeline: when other parts of it ran, it may have run.
    func error(_ error: RedisError) -> RedisError {
        guard hasRun, !error.mayHaveRun else { return error }
        return RedisError(error.code, error.message, serverCode: error.serverCode, mayHaveRun: true)
    }

    /// What is to be sent now, by node.
    func parts(on map: SlotMap) -> [Part] {
        var order: [RedisConfiguration.Address] = []
        var byNode: [RedisConfiguration.Address: [(index: Int, isAsking: Bool)]] = [:]
        let anyone = map.nodes.randomElement()
        // Units of a slot that go to two nodes could overtake each other: all of them follow the first.
        var asking: [Int: RedisConfiguration.Address?] = [:]
        for (index, unit) in units.enumerated() where !unit.isDone {
            let asked = unit.slot.map { asking[$0] ?? unit.asking } ?? nil
            if let slot = unit.slot { asking[slot] = .some(asked) }
            guard let node = asked ?? unit.slot.map(map.owner(of:)) ?? anyone else { continue }
            if byNode[node] == nil { order.append(node) }
            byNode[node, default: []].append((index, asked != nil))
        }
        return order.map { node in
            let members = byNode[node] ?? []
            if members.count == 1, !members[0].isAsking {
                return Part(node: node, pipeline: units[members[0].index].pipeline, units: members)
            }
            var pipeline = RedisPipeline()
            for (index, isAsking) in members {
                if !isAsking {
                    pipeline.append(units[index].pipeline)
                } else {
                    var scanner = CommandScanner(units[index].pipeline)
                    while let command = scanner.next() {
                        pipeline.append("ASKING")
                        let bytes = units[index].pipeline.bytes[command.range]
                        pipeline.append(RedisPipeline(bytes: Array(bytes), count: 1))
                    }
                }
            }
            return Part(node: node, pipeline: pipeline, units: members)
        }
    }

    /// Takes what came of the parts.
    ///
    /// - Throws: what ends the whole pipeline: an error that trying again does not help against, or after which
    ///   something may have run.
    mutating func take(_ outcomes: [Request.Outcome], of parts: [Part], topology: ClusterTopology)
        throws(RedisError) -> Next
    {
        doubted = nil
        var next = Next.redirect
        if parts.isEmpty { next = .retry }
        var fatal: RedisError?
        for (outcome, part) in zip(outcomes, parts) {
            for (index, _) in part.units { units[index].asking = nil }
            switch outcome {
            case .failure(let failure):
                lastFailure = failure
                next = .retry
                if failure.mayHaveRun || failure.remedy == .none {
                    fatal = failure.mayHaveRun ? failure : fatal ?? failure
                }
            case .success(nil): break
            case .success(let replies?):
                if units.count == 1 { whole = part.units[0].isAsking ? nil : replies }
                if take(replies, of: part, topology: topology) == .retry { next = .retry }
            }
        }
        if let fatal { throw error(fatal) }
        return next
    }

    private mutating func take(_ replies: RedisReplies, of part: Part, topology: ClusterTopology) -> Next {
        var refused: [(unit: Int, verdict: RedisError)] = []
        /// Of each slot the last unit that is done.
        var last: [Int: Int] = [:]
        var iterator = replies.makeIterator()
        for (index, isAsking) in part.units {
            var verdict: RedisError?
            for command in units[index].commands {
                if isAsking { _ = iterator.next() }
                guard let reply = iterator.next() else { continue }
                received[command] = reply
                if verdict == nil, let error = reply.error, Self.asksForAnother(error) {
                    verdict = error
                } else if reply.error == nil && units[index].slot != nil {
                    hasRun = true
                }
            }
            if let verdict {
                refused.append((index, verdict))
            } else {
                units[index].isDone = true
                if let slot = units[index].slot { last[slot] = index }
            }
        }
        var next = Next.redirect
        for (index, verdict) in refused {
            if let slot = units[index].slot, index < last[slot] ?? 0 {
                units[index].isDone = true
                continue
            }
            if judge(verdict, of: index, from: part.node, topology) == .retry { next = .retry }
        }
        return next
    }

    /// Where a unit that was refused goes next.
    private mutating func judge(
        _ verdict: RedisError, of unit: Int, from node: RedisConfiguration.Address,
        _ topology: ClusterTopology
    ) -> Next {
        lastFailure = verdict
        let redirection = SlotMap.redirection(verdict.message, from: node)
        switch verdict.serverCode {
        case .moved?:
            guard let redirection else { return .retry }
            topology.moved(redirection.slot, to: redirection.node)
        case .ask?:
            guard let redirection else { return .retry }
            units[unit].asking = redirection.node
        default:
            if verdict.serverCode == .clusterDown { doubted = node }
            return .retry
        }
        return .redirect
    }

    /// Nothing ran, and the cluster will have the slot served by someone soon.
    private static func asksForAnother(_ error: RedisError) -> Bool {
        switch error.serverCode {
        case .moved?, .ask?, .tryAgain?, .clusterDown?, .masterDown?, .loading?: true
        default: false
        }
    }
}
