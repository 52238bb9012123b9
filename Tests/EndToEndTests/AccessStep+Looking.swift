import FoundationEssentials
import Freshet
import FreshetTesting
import Glibc
import Hiredis

extension AccessStep {
    /// What those do who only look.
    static let ofLooking =
        [unknownScript]
        + [
            "exporter --once", "groups", "groups --partitions", "consumers", "pending", "check",
            "topics list", "trace 2",
            "tail orders --count 2", "tail orders --from end --follow", "dead list --topic orders --group a",
            "retries list --topic orders --group a", "invalid list --topic orders --group a",
        ].map(tool)

    private static func tool(_ arguments: String) -> AccessStep {
        AccessStep(description: "freshet \(arguments)") { scene in
            let folder = try Folder()
            try await scene.stir()
            let tool = try Program.start(
                "freshet",
                arguments.split(separator: " ").map(String.init) + [
                    "--redis-url", scene.guarded.url(of: scene.user), "--namespace", "\(scene.space)",
                ], in: folder)
            defer { tool.child.signal(SIGKILL) }
            let isFollowing = arguments.hasSuffix("--follow")
            while isFollowing && tool.child.ending == nil {
                try await Publisher(to: Topic("orders", partitions: 2), on: scene.operations).publish(
                    note(100))
                // What came before it waited has been read without XREAD.
                if !tool.output.isEmpty, try await scene.isWaitingForNew() { tool.child.signal(SIGINT) }
                try await Task.sleep(for: .milliseconds(50))
            }
            let looked = try await tool.outcome()
            // 1 and 2: that there is something to see to. 130: interrupted.
            let codes: Set<Int32> = isFollowing ? [0, 130] : [0, 1, 2]
            try scene.require(
                looked.exitCode.map(codes.contains) ?? false, "\(looked.ending) \(looked.errors)")
        }
    }
}

extension AccessStep.Scene {
    /// A topic with events of each fate.
    fileprivate func stir() async throws {
        let topic = Topic("orders", partitions: 2)
        let publisher = Publisher(to: topic, on: operations)
        for outcome in try await publisher.publish((0..<20).map(AccessStep.note)) { _ = try outcome.get() }
        var options = SubscriptionOptions()
        options.ordering = .perKey
        let subscription = Subscription(to: topic, group: "a", on: operations, options: options) {
            On(Noted.self) { note, delivery in
                switch delivery.event.id {
                case "1": throw Respond(.deadLetter, because: "a test")
                case "2": throw Respond(.invalid, because: "a test")
                case "3": throw Respond(.retryAfter(.seconds(3600)), because: "a test")
                default: break
                }
            }
        }
        try await running(subscription) {
            try await eventually("all are handled") {
                try await operations.groupReports(topic: "orders", group: "a").map { $0.waiting + $0.pending }
                    .reduce(0, +) == 0 && subscription.counters[.acknowledged] == 17
            }
        }
        let late = try Event(Noted(text: "later"), source: "access", id: "late")
        try await publisher.publish(
            late, deliverAt: Timestamp(milliseconds: Timestamp.now().milliseconds + 3_600_000))
    }

    /// Whether one of the user's connections is in an XREAD.
    fileprivate func isWaitingForNew() async throws -> Bool {
        let clients = try await operations.client.send(RedisCommand("CLIENT", "LIST")).string ?? ""
        return clients.split(whereSeparator: \.isNewline).contains {
            $0.contains(" cmd=xread ") && $0.contains(" user=\(user) ")
        }
    }

    private struct Noted: EventPayload {
        static let eventType: EventType = "test.noted"
        let text: String
    }
}
