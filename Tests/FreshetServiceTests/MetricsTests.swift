import Foundation
import Freshet
import FreshetRecords
@testable import FreshetService
import FreshetTesting
import Hiredis
import Logging
import Metrics
import Synchronization
import Testing

private struct Note: EventPayload {
    static let eventType: EventType = "note.taken"
    let text: String
}

private struct Refusal: Error {}

/// Every metric that the docs tell of, as real work moves it.
@Suite struct MetricsTests {
    @Test
    func `every metric has the value that the work done gives it, and none is missing in the catalogue`()
        async throws
    {
        // In a process of its own: a metrics system is bootstrapped once, and connections' metrics are the process's.
        await #expect(processExitsWith: .success) { try await workAndLook() }
    }

    @Test func `two subscriptions of a process to the same group are added up`() async throws {
        let metrics = PrometheusMetrics()
        func sum(_ name: String) throws -> Double? { try MetricsPage(metrics.text()).of(name, "copy") }
        try await withMetricsFactory(metrics) {
            try await withRedisServer { server in
                let client = RedisClient(try RedisConfiguration(url: server.url))
                defer { client.close() }
                let broker = Broker(client, namespace: "test")
                let topic = Topic("notes", partitions: 4)
                var options = SubscriptionOptions()
                options.ordering = .perKey
                options.concurrency = 64
                let gate = Gate()
                func subscription() -> Subscription {
                    Subscription(to: topic, group: "copy", on: broker, options: options) {
                        On(Note.self) { _, _ in try await gate.pass() }
                    }
                }
                let publisher = Publisher(to: topic, on: broker)
                let notes = try (0..<40).map { try Event(Note(text: "\($0)"), source: "test", key: "k\($0)") }
                for result in try await publisher.publish(notes) { _ = try result.get() }
                try await running(subscription(), subscription()) {
                    try await eventually("both work, and own what there is") {
                        try sum("in_progress") == 40 && sum("partitions_owned") == 4
                    }
                    gate.release()
                    try await eventually("all is done") { try sum("in_progress") == 0 }
                }
            }
        }
        try await eventually("nothing is left of them") { try sum("partitions_owned") == 0 }
    }

    @Test(.enabled(if: Promtool.isThere, "promtool is not installed: make check-metrics installs it"))
    func `promtool finds nothing wrong with a page of all metrics`() async throws {
        let metrics = PrometheusMetrics()
        withMetricsFactory(metrics) {
            for description in MetricDescription.all {
                let labels = description.labels.map { ($0, "\"\\\n\($0)ü") }
                switch description.kind {
                case .counter: Counter(label: description.name, dimensions: labels).increment(by: 3)
                case .gauge: Gauge(label: description.name, dimensions: labels).record(-0.5)
                case .histogram: Timer(label: description.name, dimensions: labels).recordSeconds(0.3)
                case nil: Issue.record("\(description.name) has no type")
                }
            }
        }
        #expect(try await Promtool.complaints(about: metrics.text()) == "")
        #expect(try await Promtool.complaints(about: "x_total{a=\"b} 1\n") != "", "it does find something")
    }

    @Test func `the docs list every metric with its type and labels, and no other`() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let docs = try String(contentsOf: root.appending(path: "docs/metrics.md"), encoding: .utf8)
        var listed: [String: String] = [:]
        for line in docs.split(separator: "\n") where line.hasPrefix("| `") {
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            try #require(cells.count == 5, "\(line)")
            let name = cells[0].trimmingCharacters(in: CharacterSet(charactersIn: "`"))
            #expect(listed.updateValue("\(cells[1]): \(cells[2])", forKey: name) == nil, "twice: \(name)")
            #expect(cells[3].count > 10 && cells[4].count > 3, "says nothing: \(name)")
        }
        let known = Dictionary(
            uniqueKeysWithValues: MetricDescription.all.map {
                ($0.name, "\($0.kind?.rawValue ?? ""): \($0.labels.joined(separator: ", "))")
            })
        for (name, shape) in known { #expect(listed[name] == shape, "\(name)") }
        #expect(Set(listed.keys).subtracting(known.keys).isEmpty)
    }
}

/// A text that a handler waits for.
private final class Gate: Sendable {
    private let open = Mutex(false)
    func release() { open.withLock { $0 = true } }
    func pass() async throws {
        while !open.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(2)) }
    }
}

private func workAndLook() async throws {
    let metrics = try #require(PrometheusMetrics.bootstrap())
    #expect(PrometheusMetrics.bootstrap() === metrics, "there is one")
    let process = ProcessMetrics(service: "notes", version: "1.2.3", in: metrics)
    SpanQueue(capacity: 1, batch: 1).exported(2)
    let folder = try temporaryFolder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try await withRedisServer { server in
        let client = RedisClient(try RedisConfiguration(url: server.url))
        defer { client.close() }
        let broker = Broker(client, namespace: "test")
        let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let records = try await ServiceRecords(
            RecordsDatabase.open(url: "sqlite:\(folder)/notes.db"), source: "notes", migrations: [],
            on: broker)
        let topic = Topic("notes")
        try await broker.declare(TopicDeclaration(topic, groups: [.init("copy"), .init("ordered")]))
        let publisher = Publisher(to: topic, on: broker)
        let notes = try (0..<20).map { try Event(Note(text: "\($0)"), source: "test", key: "k\($0)") }
        for result in try await publisher.publish(notes) { _ = try result.get() }
        try await publisher.publish(Event(source: "test", type: "note.burnt", data: "{}"))
        let log = broker.keys(topic.name, 0).events
        try await client.send(RedisCommand("XADD", log, "*", "what", "no event"))
        // A consumer that dies with four.
        try await client.send(
            RedisCommand("XREADGROUP", "GROUP", "copy", "ghost", "COUNT", 4, "STREAMS", log, ">"))

        var options = SubscriptionOptions()
        options.lease = .milliseconds(500)
        options.retry.maximumAttempts = 2
        options.retry.base = .milliseconds(1)
        let gate = Gate()
        let copy = Subscription(to: topic, group: "copy", on: broker, options: options) {
            On(Note.self) { note, delivery in
                if note.text == "late" { return try await gate.pass() }
                let number = Int(note.text) ?? 0
                if number < 3, delivery.attempt == 1 { throw Refusal() }
                if number == 3 || number == 4 { throw Refusal() }
                try await records.handle(delivery) { effects in
                    if number > 17 { try effects.publish(note, to: Topic("copies"), key: note.text) }
                }
            }
        }
        var ordered = SubscriptionOptions()
        ordered.ordering = .perKey
        let others = Subscription(to: topic, group: "ordered", on: broker, options: ordered) {
            On("note.burnt") { _ in }
        }
        let poller = MetricsPoller(
            .subscriptions([copy]), on: broker, records: records, every: .milliseconds(20), logger: quiet)
        func page() throws -> MetricsPage { try MetricsPage(metrics.text()) }
        try await running(copy, others, poller) {
            func settled(_ outcome: String) throws -> Double? {
                try page().of("settled_total", "copy", "outcome=\"\(outcome)\"")
            }
            try await eventually("all is settled") {
                try settled("acknowledged") == 19 && settled("dead") == 2 && settled("invalid") == 1
            }
            try await publisher.publish(try Event(Note(text: "late"), source: "test"))
            try await eventually("the last one is in hand") {
                try page().of("in_progress", "copy") == 1 && page().of("group_pending", "copy") == 1
            }
            gate.release()
            try await eventually("and done") {
                try page().of("in_progress", "copy") == 0 && settled("acknowledged") == 20
                    && page().of("group_pending", "copy") == 0
            }
            try await eventually("the other group is done") { others.counters[.acknowledged] == 22 }
            _ = try? await client.send(RedisCommand("INCR", log))
            process.isReady(true)
            let connections = try await client.send(RedisCommand("CLIENT", "LIST")).string ?? ""
            try await eventually("what the last turn of the loop did is reported") {
                try page().values[
                    "freshet_redis_errors_total{code=\"WRONGTYPE\",server=\"\(client.configuration.displayName)\"}"
                ] == 1
            }

            let page = try page()
            func expect(_ name: String, _ group: String, _ more: String = "", is value: Double) {
                #expect(page.of(name, group, more) == value, "\(name) \(group) \(more)")
            }
            #expect(page["freshet_published_total{topic=\"notes\"}"] == 22)
            for (from, count) in [("log", 19.0), ("claim", 4), ("redelivery", 5)] {
                expect("delivered_total", "copy", "from=\"\(from)\"", is: count)
            }
            for (outcome, count) in [
                ("acknowledged", 20.0), ("scheduled", 5), ("dead", 2), ("invalid", 1), ("released", 0),
            ] {
                expect("settled_total", "copy", "outcome=\"\(outcome)\"", is: count)
            }
            for (name, count) in [
                ("handler_seconds_count", 26.0), ("publish_to_settled_seconds_count", 20),
                ("retries_total", 5), ("claims_total", 4), ("recovered_total", 0), ("ignored_total", 1),
                ("fenced_total", 0),
                ("lost_total", 0), ("partitions_owned", 0), ("breaker_open", 0), ("in_progress", 0),
                ("group_lag", 0), ("group_lag_known", 1), ("group_pending", 0), ("group_delayed", 0),
                ("group_redelivery", 0), ("group_dead", 2), ("group_invalid", 1), ("group_backlog", 0),
                ("group_oldest_waiting_seconds", 0), ("group_oldest_pending_seconds", 0),
                ("group_lease_owners", 0), ("group_partitions", 1), ("replay_running", 0),
                ("replay_events", 0), ("replay_remaining", 0),
            ] {
                expect(name, "copy", is: count)
            }
            expect("handler_seconds_bucket", "copy", "le=\"+Inf\"", is: 26)
            expect("publish_to_settled_seconds_bucket", "copy", "le=\"+Inf\"", is: 20)
            #expect(page.of("handler_seconds_sum", "copy") ?? 0 > 0)
            #expect(page.of("publish_to_settled_seconds_sum", "copy") ?? 0 >= 0.5, "four waited for a lease")
            #expect(page.of("group_oldest_dead_seconds", "copy") ?? 0 > 0)
            #expect(
                (1...2).contains(page.of("group_consumers", "copy") ?? 0), "the ghost may be listed still")
            expect("partitions_owned", "ordered", is: 1)
            expect("settled_total", "ordered", "outcome=\"acknowledged\"", is: 22)
            expect("ignored_total", "ordered", is: 21)
            #expect(page.of("group_lag", "ordered") == nil, "its poller is another process's")
            #expect(page["freshet_topic_entries{topic=\"notes\"}"] == 23)
            #expect(page["freshet_retention_trimmed_total{topic=\"notes\"}"] == 0)
            #expect(page["freshet_retention_held_back{topic=\"notes\"}"] == 0)
            #expect(page["freshet_outbox_events"] == 2 && page["freshet_outbox_oldest_seconds"] ?? 0 > 0)
            for what in ["groups", "group", "outbox"] {
                #expect(page["freshet_poll_failures_total{what=\"\(what)\"}"] == 0)
            }
            #expect(page["freshet_trace_spans_total{outcome=\"exported\"}"] == 2)
            #expect(page["freshet_ready"] == 1)
            #expect(page["freshet_build_info{service=\"notes\",version=\"1.2.3\"}"] == 1)
            let started = page["freshet_start_time_seconds"] ?? 0
            #expect(abs(started - Date().timeIntervalSince1970) < 600)
            #expect(page["process_cpu_seconds_total"] ?? 0 > 0)
            #expect(page["process_resident_memory_bytes"] ?? 0 > 1_000_000)
            let server = "server=\"\(client.configuration.displayName)\""
            #expect(
                page["freshet_redis_connections{\(server)}"]
                    == Double(connections.split(separator: "\n").count))
            #expect(page["freshet_redis_commands_total{\(server)}"] ?? 0 > 30)
            #expect(page["freshet_redis_request_seconds_count{\(server)}"] ?? 0 > 20)
            for bytes in ["sent", "received"] {
                #expect(page["freshet_redis_\(bytes)_bytes_total{\(server)}"] ?? 0 > 1000)
            }
            #expect(page["freshet_redis_connects_total{\(server)}"] ?? 0 >= 3)

            // What an archiver says is in its own tests (ArchiveTests).
            for description in MetricDescription.all where !description.name.hasPrefix("freshet_archive") {
                #expect(page.types[description.name] == description.kind?.rawValue, "\(description.name)")
                #expect(page.labels[description.name] ?? [] == Set(description.labels), "\(description.name)")
            }
            #expect(Set(page.types.keys).subtracting(MetricDescription.all.map(\.name)).isEmpty)
        }
        let after = try page()
        #expect(after.of("group_lag", "copy") == nil, "nobody looks any more")
        #expect(after.of("partitions_owned", "ordered") == 0)
        client.close()
        try await eventually("no connection is open") {
            try page()["freshet_redis_connections{server=\"\(client.configuration.displayName)\"}"] == 0
        }
    }
}
