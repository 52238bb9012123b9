internal import ArgumentParser
internal import Freshet
internal import FreshetReplay
internal import FreshetTesting
internal import Hiredis
internal import Workbench

/// `soak replay`
struct ReplayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract:
            "The server loses its last seconds while a replay and an archiver are at work: every event arrives, and what is said to be archived is."
    )

    @Option(help: "What the faults are made from; nothing makes one up.")
    var seed: UInt64?

    @Option(help: "How many events are redelivered.")
    var events = 30_000

    @Option(help: "How often the server is killed and comes back from an older snapshot.")
    var losses = 5

    func run() async throws {
        let seed = seed ?? UInt64.random(in: 0 ... .max)
        print("soak replay --seed \(seed) --events \(events) --losses \(losses)")
        try await untilInterrupted {
            var (random, verdict) = (Seeded(seed), Verdict())
            try await redeliver(&random, &verdict)
            try await archive(&random, &verdict)
            guard verdict.holds else { throw ExitCode(1) }
        }
    }

    private static let by = Operator("soak")

    /// A server that keeps nothing but its snapshots.
    private func withStage(_ body: (Stage) async throws -> Void) async throws {
        try await Stage.with(partitions: 2, survivesKills: false, losesWrites: true, body)
    }

    // MARK: - Redelivering

    private func redeliver(_ random: inout Seeded, _ verdict: inout Verdict) async throws {
        try await withStage { stage in
            try await stage.broker.declare(
                TopicDeclaration(stage.topic, groups: [GroupDeclaration("free")]))
            let published = try await stage.work.publish(events, keys: 100)
            var request = ReplayRequest(topic: stage.topic.name, to: .group("free"))
            request.limits.waiting = nil
            request.pace.rate = Double(events) / 15
            let plan = try await stage.broker.plan(request)
            let job = try await stage.broker.save(plan, by: Self.by)
            let broker = stage.broker
            let run = Task { try await ReplayRun.run(job, by: Self.by, on: broker) }
            for number in 0..<losses {
                // The last one well before the end: what is lost after it nobody puts again.
                let goal = events * (number + 1) / (losses + 2)
                try await reach(goal, stage)
                _ = try await stage.client.send(RedisCommand("SAVE"))
                try await reach(goal + Int.random(in: 100...events / 20, using: &random), stage)
                await stage.server.kill()
                try await stage.server.start()
            }
            let ended = try await run.value
            var arrived: [String: Int] = [:]
            for partition in 0..<stage.topic.partitions {
                let stream = stage.broker.keys(stage.topic.name, partition).redelivery("free")
                for try await entry in stage.broker.entries(of: stream) {
                    arrived[entry.field("id")?.string ?? "", default: 0] += 1
                }
            }
            print("the replay is \(ended.state.rawValue) with \(ended.done) of \(plan.selected.count)")
            let known = try await stage.broker.replay(job.id)
            verdict.check(
                "a replay that says that it is done has put every event",
                ended.state == .done
                    ? published.filter { arrived[$0] == nil }
                    : ["it is \(ended.state.rawValue): \(ended.note)"])
            verdict.check(
                "none is there twice", arrived.filter { $0.value > 1 }.map { "\($0.key) \($0.value) times" })
            verdict.check(
                "the server knows that it is done",
                known.state == .done && known.done == events
                    ? [] : ["\(known.state.rawValue) with \(known.done)"])
            verdict.demand("events that were lost and put again", ended.lost)
        }
    }

    /// Waits until so many are there, or the replay has come to its end.
    private func reach(_ count: Int, _ stage: Stage) async throws {
        for _ in 0..<6000 {
            var sum = 0
            for partition in 0..<stage.topic.partitions {
                let keys = stage.broker.keys(stage.topic.name, partition)
                sum += try await stage.client.send(.xlen(keys.redelivery("free")))
            }
            if sum >= count { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw SoakError("120 s were not enough for \(count) events")
    }

    // MARK: - Archiving

    /// What the topic's hash says to be archived is looked at in the archive, all the time.
    private func archive(_ random: inout Seeded, _ verdict: inout Verdict) async throws {
        try await withStage { stage in
            try await stage.broker.declare(TopicDeclaration(stage.topic))
            var options = ArchiverOptions()
            options.segmentEvents = 100
            let folder = "\(stage.server.folder)/archive"
            let archiver = try await Archiver.open(
                stage.topic, on: stage.broker, to: folder, options: options)
            var (ahead, marks, lost) = ([String](), 0, 0)
            for number in 0..<losses {
                _ = try await stage.work.publish(2000, keys: 100, from: number * 4000)
                let looks = Task { try await Self.look(stage, folder) }
                _ = try await archiver.pass()
                _ = try await stage.client.send(RedisCommand("SAVE"))
                _ = try await stage.work.publish(2000, keys: 100, from: number * 4000 + 2000)
                // How much of it the archive has by then is chance; what it has is lost by the server.
                let most = Int.random(in: 1...2000, using: &random)
                _ = try await archiver.pass { $0 < most }
                looks.cancel()
                let (found, count) = try await looks.value
                ahead += found
                marks += count
                await stage.server.kill()
                try await stage.server.start()
                lost += 1
            }
            _ = try await archiver.pass()
            await archiver.close()
            let reports = try await ArchiveVerification(of: Archive(folder))
                .verify(stage.broker.namespace, stage.topic.name)
            verdict.check("what is said to be archived is in the archive", ahead)
            verdict.check("the archive is whole", reports.flatMap(\.problems))
            verdict.demand("marks that were looked at", marks)
            verdict.demand("losses while an archiver was at work", lost)
        }
    }

    /// Marks that were ahead of the archive, and how many were looked at, until it is cancelled.
    private static func look(_ stage: Stage, _ folder: String) async throws -> (ahead: [String], count: Int) {
        var (ahead, seen) = ([String](), Set<String>())
        let key = stage.broker.namespace.topicKey(stage.topic.name)
        while !Task.isCancelled {
            for partition in 0..<stage.topic.partitions {
                let reply = try? await stage.client.send(RedisCommand("HGET", key, "archived:\(partition)"))
                guard let mark = reply?.streamID else { continue }
                seen.insert("\(partition) \(mark)")
                // Read after the mark: it never goes back.
                let archived = try Archive(folder).partition(
                    stage.broker.namespace, stage.topic.name, partition)
                if archived?.last ?? .zero < mark {
                    ahead.append(
                        "\(mark) of partition \(partition), and the archive ends at \(archived?.last ?? .zero)"
                    )
                }
            }
            await Task.yield()
        }
        return (ahead, seen.count)
    }
}
