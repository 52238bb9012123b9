internal import ArgumentParser
internal import Freshet
internal import Hiredis

/// `bench measure`: one measurement, in the process that the orchestrator started for it. Prints one line of JSON.
struct MeasureCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "measure", abstract: "One measurement.", shouldDisplay: false)

    @Option var url: String
    @Option var work: Work
    @Option var warmUp: Int
    @Option var events: Int
    @Option var stream: String
    @Option var group: String
    /// A path where no file is.
    @Option var database: String
    @Option var with: [Telemetry] = []
    @Option var sampled = 1.0

    func run() async throws {
        for telemetry in with { telemetry.begin(sampled: sampled) }
        let client = RedisClient(try RedisConfiguration(url: url))
        defer { client.close() }
        try await client.connect()
        let task = WorkTask(
            client: client, stream: stream, group: group, warmUp: warmUp, events: events, database: database)
        // As a consumer runs: on the client's loop, so that nothing hops between threads.
        let broker = Broker(client, namespace: WorkTask.namespace)
        let beside = with.map { telemetry in Task { await telemetry.run(on: broker) } }
        defer { for task in beside { task.cancel() } }
        let sample = try await Task(executorPreference: client.loop) {
            precondition(client.loop.isCurrent, "the work runs on the client's loop")
            return try await task.run(work)
        }.value
        print(try sample.json())
    }
}
