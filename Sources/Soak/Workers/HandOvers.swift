internal import Freshet

/// An event, or with an order a partition, that a worker gave back when it was asked to stop, and a peer took.
struct HandOver: CustomStringConvertible {
    let what: String
    let from: Int
    let to: Int
    /// Microseconds since the worker was asked to stop, and since it gave back.
    let fromRequest: Int
    let fromHandingBack: Int

    var description: String {
        "\(what) from process \(from) to \(to) after \(fromHandingBack) us (\(fromRequest) us after the signal)"
    }
}

extension Findings {
    func handOvers(after leavings: [Consumers.Leaving], _ group: String, _ topic: Topic) -> [HandOver] {
        let asked = Dictionary(leavings.map { ($0.number, $0.askedAt) }) { first, _ in first }
        return group == "keyed" ? partitionHandOvers(asked, group) : eventHandOvers(asked, group)
    }

    /// Until a peer has been given the event.
    private func eventHandOvers(_ asked: [Int: Int], _ group: String) -> [HandOver] {
        releases.compactMap { release in
            guard let askedAt = asked[release.process],
                let next = deliveries["\(group) \(release.id)"]?.filter({
                    $0.process != release.process && $0.at >= askedAt
                })
                .min(by: { $0.at < $1.at })
            else { return nil }
            // It can be there before the one that handed it back has heard that it did.
            return HandOver(
                what: release.id, from: release.process, to: next.process,
                fromRequest: next.at - askedAt, fromHandingBack: max(0, next.at - release.at))
        }
    }

    /// Until a peer owns the partition.
    private func partitionHandOvers(_ asked: [Int: Int], _ group: String) -> [HandOver] {
        let byPartition = Dictionary(grouping: tenures[group] ?? [], by: \.partition)
        return byPartition.values.flatMap { tenures in
            let inTurn = tenures.sorted { $0.epoch < $1.epoch }
            return zip(inTurn, inTurn.dropFirst()).compactMap { old, new -> HandOver? in
                guard let askedAt = asked[old.process], old.ended >= askedAt, new.process != old.process
                else { return nil }
                return HandOver(
                    what: "partition \(old.partition)", from: old.process, to: new.process,
                    fromRequest: new.began - askedAt, fromHandingBack: new.began - old.ended)
            }
        }
    }

    /// Events that were begun more than once.
    func handledAgain(_ group: String) -> [String] {
        Dictionary(grouping: runs[group] ?? [], by: \.id).filter { $1.count > 1 }.map { id, runs in
            "\(id) in processes \(runs.map { "\($0.process)" }.joined(separator: " and "))"
        }
    }
}
