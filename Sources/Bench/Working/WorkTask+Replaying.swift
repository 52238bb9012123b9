internal import Freshet
internal import FreshetReplay
internal import Hiredis

/// What is done with a topic's whole history.
enum ReplayKind: String, Sendable {
    /// It is put on a group's redelivery stream.
    case redeliver
    /// It is copied to an archive.
    case archive
}

extension WorkTask {
    func replay(_ kind: ReplayKind) async throws -> Sample {
        let broker = Broker(client, namespace: Self.namespace)
        switch kind {
        case .redeliver:
            var request = ReplayRequest(topic: Self.topic.name, to: .group(GroupName(unchecked: group)))
            request.limits.waiting = nil
            let actor = Operator("bench")
            // As `replay start` finds it: the plan was made before.
            let job = try await broker.save(try await broker.plan(request), by: actor)
            let meter = Meter()
            let ended = try await ReplayRun.run(job, by: actor, on: broker)
            guard ended.done == events else { throw BenchError("redelivered \(ended.done) of \(events)") }
            return meter.sample(events: events)
        case .archive:
            let meter = Meter()
            let archiver = try await Archiver.open(Self.topic, on: broker, to: database + ".archive")
            let reports = try await archiver.pass()
            await archiver.close()
            let sample = meter.sample(events: events)
            guard reports.reduce(0, { $0 + $1.archived }) == events else {
                throw BenchError("not all is archived")
            }
            return sample
        }
    }
}
