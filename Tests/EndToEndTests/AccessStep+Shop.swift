import FoundationEssentials
import Freshet
import FreshetTesting
import Glibc
import Hiredis
import Testing

extension AccessStep {
    /// What each service does, as the process that is deployed.
    static func service(_ service: String) -> AccessStep {
        AccessStep(
            description: "the \(service) service handles an order, says how it is, and rebuilds its tables"
        ) { scene in
            let (folder, port) = (try Folder(), freePort())
            try await folder.makeData()
            let worker = try Program.start(
                "\(service)-worker", [],
                environment: [
                    "REDIS_URL": scene.guarded.url(of: scene.user), "FRESHET_NAMESPACE": "\(scene.space)",
                    "HTTP_PORT": "\(port)", "DATABASE_URL": folder.databaseURL(of: service),
                    "PAYMENT_PROVIDER_LEDGER": folder.databaseURL(of: "provider"),
                ], in: folder)
            defer { worker.child.signal(SIGKILL) }
            do { try await handleOrder(service, scene, port, folder) } catch {
                throw Failed(description: "\(error)\n\(worker.errors)")
            }
            worker.child.signal(SIGTERM)
            let outcome = try await worker.outcome(within: .seconds(30))
            try scene.require(outcome.ending == .exited(0), outcome.errors)
        }
    }

    private static func handleOrder(_ service: String, _ scene: Scene, _ port: Int, _ folder: Folder)
        async throws
    {
        try await scene.happens("order.placed", WorkerTests.data("o"), in: "orders")
        if service == "order" {
            try await scene.happens("payment.captured", captured, in: "payments")
        }
        let (topic, length) =
            ["order": ("orders", 2), "customer": ("customers", 1)][service] ?? ("payments", 1)
        try await eventually("it has said what came of it") {
            try await scene.operations.client.send(
                .xlen(scene.operations.keys(TopicName(checking: topic), 0).events))
                == length
        }
        try await eventually("its group has settled all") {
            let reports = try await scene.operations.groupReports(group: GroupName(checking: service))
            return !reports.isEmpty && reports.allSatisfy(\.isSettled)
        }
        try await eventually("it says what there is to do") {
            try await scene.metrics(port, folder).contains("\nfreshet_group_delayed{")
        }
        let ready = try await Program.run(
            "\(service)-worker", ["health", "ready"], environment: ["HTTP_PORT": "\(port)"], in: folder)
        try scene.require(ready.ending == .exited(0), ready.output)
        let operations = ["--redis-url", scene.guarded.url(of: "admin"), "--namespace", "\(scene.space)"]
        let archive = "\(folder.path)/archive"
        let archived = try await Program.run(
            "replay", ["archive", "--all", "--to", archive] + operations, in: folder)
        try scene.require(archived.ending == .exited(0), archived.errors)
        let rebuilt = try await Program.run(
            "replay",
            [
                "run", "--mode", "rebuild", "--group", service, "--archive", archive, "--yes", "--reason",
                "a test",
            ] + operations, in: folder)
        try scene.require(rebuilt.ending == .exited(0), rebuilt.errors)
    }

    /// What those do who place orders.
    static let ofPlacing = [
        unknownScript,
        AccessStep(description: "orders of a file are placed") { scene in
            let folder = try Folder()
            let placed = try await Program.run(
                "shop",
                [
                    "place", "--orders", folder.demoOrders(3), "--redis-url",
                    scene.guarded.url(of: scene.user),
                    "--namespace", "\(scene.space)",
                ], in: folder)
            try scene.require(placed.ending == .exited(0), placed.errors)
        },
        AccessStep(description: "an order is placed while a topic's limit allows it") { scene in
            let topic = Topic("orders")
            try await scene.operations.declare(TopicDeclaration(topic, limit: 1))
            try await Publisher(to: topic, on: scene.broker).publish(note(1))
        },
        AccessStep(description: "an order that may have arrived is placed once, and confirmed by replicas") {
            scene in
            let topic = Topic("orders")
            try await scene.operations.declare(
                TopicDeclaration(topic, durability: .replicated(1, within: .milliseconds(20))))
            let publisher = Publisher(to: topic, on: scene.broker)
            _ = try await publisher.publish([note(1)])
            let outcome = try await publisher.addMissing(
                [note(1), note(2)], [0, 0], behind: [.zero], upTo: nil,
                .replicated(1, within: .milliseconds(20)),
                after: RedisError(.connectionLost, "", mayHaveRun: true), on: scene.client)
            guard case .failure(let error) = outcome[1], error.code == .notDurable else {
                throw Failed(description: "there is no replica: \(outcome)")
            }
            let log = scene.operations.keys("orders", 0).events
            try scene.require(try await scene.operations.client.send(.xlen(log)) == 2, "once each")
        },
    ]

    private static let captured = """
        {"orderId":"o","currency":"EUR","amount":1250,"providerReference":"emb_o","capturedAt":"2026-01-02T03:04:06.000Z"}
        """
}

extension AccessStep.Scene {
    func require(_ condition: Bool, _ what: String) throws {
        if !condition { throw AccessStep.Failed(description: what) }
    }

    /// An event that someone else publishes.
    fileprivate func happens(_ type: EventType, _ data: String, in topic: TopicName) async throws {
        let event = Event(source: "access", type: type, partitionKey: "o", data: EventData(Array(data.utf8)))
        try await Publisher(to: Topic(topic), on: operations).publish(event)
    }

    fileprivate func metrics(_ port: Int, _ folder: Folder) async throws -> String {
        let get =
            #"exec 3<>/dev/tcp/127.0.0.1/\#(port); printf 'GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n' >&3; cat <&3"#
        return try await Program.run("bash", ["-c", get], in: folder, within: .seconds(10)).output
    }
}
