internal import Freshet
internal import FreshetReplay
internal import Hiredis

extension Diagnosis {
    /// Replays that nobody runs to their end, and locks that will not lapse.
    func replays() async throws -> [Finding] {
        var findings: [Finding] = []
        let jobs = try await looking("replays", into: &findings) { try await broker.replays() } ?? []
        for job in jobs {
            let target = "\(job.plan.topic)" + (job.plan.target.group.map { "/\($0)" } ?? "")
            switch job.state {
            case .stopped:
                findings.append(
                    Finding(
                        .warning, "replay-stopped", target,
                        "the replay \(job.id) stopped after \(Spelled.count(job.done)) of \(Spelled.count(job.plan.selected.count)) events, and nobody is at it",
                        remedy: "replay resume \(job.id), or replay cancel \(job.id)"))
            case .paused:
                findings.append(
                    Finding(
                        .info, "replay-paused", target, "the replay \(job.id) is paused",
                        remedy: "replay resume \(job.id), or replay cancel \(job.id)"))
            case .planned, .running, .done, .cancelled: break
            }
            guard let group = job.plan.target.group else { continue }
            let key = broker.namespace.replayingKey(job.plan.topic, group)
            let life = try await looking("replays", at: target, into: &findings) {
                try await broker.send(RedisCommand("PTTL", key)).integer
            }
            // Without a time it would stand for ever. (-2: there is none.)
            if life == -1, !findings.contains(where: { $0.check == "replay-lock" && $0.subject == target }) {
                findings.append(
                    Finding(
                        .warning, "replay-lock", target,
                        "\(key) has no end: no replay or rewind of the group can begin",
                        remedy: "make sure that no replay runs (replay list), then redis-cli DEL \(key)"))
            }
        }
        return findings
    }
}
