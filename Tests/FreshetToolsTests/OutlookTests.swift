import Freshet
import FreshetTesting
import Hiredis
import Synchronization
import Testing

/// Real consumers whose handlers take their time, looked at by the tool.
@Suite struct OutlookTests {
    private struct Row: Decodable {
        let state, sentence, asOf: String
        let waiting, consumersAlive: Int
        let inPerSecond, outPerSecond, secondsUntilEmpty: Double?
        let replicasMissing: Int?
    }

    /// A consumer that handles one event of a key, or at all, in this time.
    private func consumer(
        _ rig: Rig, _ topic: Topic = Topic("orders"), concurrency: Int = 1, takes time: Duration,
        ordering: Ordering = .any
    ) -> Subscription {
        var options = SubscriptionOptions()
        (options.concurrency, options.ordering) = (concurrency, ordering)
        return Subscription(to: topic, group: "payment", on: rig.broker, options: options) {
            On("order.placed") { _ in try await Task.sleep(for: time) }
        }
    }

    /// Publishes so many every 20 ms while the body runs.
    private func publishing(_ count: Int, _ rig: Rig, _ body: () async throws -> Void) async throws {
        let number = Atomic(1)
        let isOver = Atomic(false)
        async let published: Void = {
            while !isOver.load(ordering: .relaxed) {
                let first = number.add(count, ordering: .relaxed).oldValue
                try await rig.publish(first..<first + count)
                try await Task.sleep(for: .milliseconds(20))
            }
        }()
        try await eventually("there are events") { number.load(ordering: .relaxed) > 2 * count }
        do { try await body() } catch {
            isOver.store(true, ordering: .relaxed)
            throw error
        }
        isOver.store(true, ordering: .relaxed)
        try await published
    }

    private func row(_ rig: Rig, over time: String = "1s") async throws -> Row? {
        let outcome = try await rig.run("freshet", "groups", "--over", time, "--format", "json")
        return try outcome.json([Row].self).first
    }

    /// Looks until the group is in this state: the first looks may fall on its start.
    private func row(_ rig: Rig, when state: String) async throws -> Row {
        var found: Row?
        try await eventually("the state is \(state)") {
            found = try await row(rig)
            return found?.state == state
        }
        return try #require(found)
    }

    @Test func `a consumer that is too slow falls behind, and how many it lacks is said`() async throws {
        try await Rig.with { rig in
            // At most 20 a second; 100 or so come.
            try await running(consumer(rig, takes: .milliseconds(50))) {
                try await publishing(2, rig) {
                    let row = try await row(rig, when: "falling-behind")
                    #expect(row.consumersAlive == 1 && (row.outPerSecond ?? 0) > 0)
                    #expect((row.inPerSecond ?? 0) > (row.outPerSecond ?? 0))
                    #expect((row.replicasMissing ?? 0) >= 1)
                    #expect(
                        row.sentence.hasPrefix("Falls behind by ")
                            && row.sentence.contains("would do (one does "))
                }
            }
        }
    }

    @Test func `a backlog that nothing comes to drains`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...2_000)
            try await running(consumer(rig, takes: .milliseconds(50))) {
                let row = try await row(rig, when: "draining")
                #expect(row.sentence.hasPrefix("Draining: empty in ") && (row.secondsUntilEmpty ?? 0) > 1)
            }
        }
    }

    @Test func `a quick consumer keeps up, then it is idle, then it is gone`() async throws {
        try await Rig.with { rig in
            try await running(consumer(rig, concurrency: 64, takes: .milliseconds(1))) {
                try await publishing(2, rig) {
                    let row = try await row(rig, when: "keeps-up")
                    #expect(row.sentence.hasPrefix("Keeps up") && (row.inPerSecond ?? 0) > 0)
                }
                #expect(try await row(rig, when: "idle").sentence == "Idle: nothing waits.")
            }
            try await rig.publish([1_000_000])
            let gone = try #require(try await row(rig, over: "50ms"))
            #expect(gone.state == "no-consumers" && gone.sentence.hasPrefix("No consumer is there: 1 waits"))
        }
    }

    @Test func `with an order a partition feeds one owner, and more would not help`() async throws {
        try await Rig.with { rig in
            let slow = consumer(rig, concurrency: 1, takes: .milliseconds(50), ordering: .perKey)
            try await running(slow) {
                try await publishing(3, rig) {
                    let row = try await row(rig, when: "falling-behind")
                    #expect(row.replicasMissing == nil)
                    #expect(
                        row.sentence.contains(
                            "More replicas would not help: .perKey with 1 partition feeds at most 1 owner"),
                        "\(row.sentence)")
                }
            }
        }
    }

    @Test func `--watch prints a line per group and look off a terminal, and outlives the server`()
        async throws
    {
        try await Rig.with(LocalRedisServer(appendOnly: true)) { rig in
            try await rig.publish(1...3)
            try await rig.createGroup()
            let watch = try rig.start("freshet", ["groups", "--watch", "--over", "50ms"])
            try await eventually("it has looked") { watch.output.split(separator: "\n").count >= 3 }
            await rig.server.kill()
            try await eventually("it says so") { watch.errors.contains("trying again") }
            try await rig.server.start()
            let before = watch.output.split(separator: "\n").count
            try await eventually("it goes on") { watch.output.split(separator: "\n").count > before + 1 }
            watch.child.signal(2)
            let outcome = await watch.outcome()
            #expect(outcome.exitCode == 130)
            #expect(outcome.lines.allSatisfy { $0.hasPrefix("{\"asOf\":\"20") && $0.hasSuffix("}") })
            let json = try await rig.run("freshet", "groups", "--watch", "--format", "json")
            #expect(json.exitCode == 64 && json.errors.contains("ndjson"))
        }
    }
}
