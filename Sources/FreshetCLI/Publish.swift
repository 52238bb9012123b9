internal import ArgumentParser
internal import Freshet
internal import FreshetService
internal import Hiredis

/// `freshet publish`
struct Publish: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Publishes an event, or one for each line of standard input, and prints its id.",
        discussion: """
            The data is JSON. From standard input, what is published stands in the order of the lines; a line that is no JSON
            ends it, and what stood before it is published (exit code 2, or 65 when that was nothing). Blank lines are
            passed over.

            Examples:
              freshet publish orders --type order.placed --key o-1 --data '{"orderId":"o-1"}'
              freshet publish orders --type order.placed --source import < orders.ndjson
            """)

    @Argument(help: "The topic.") var topic: TopicName
    @Option(help: "The event's type.") var type: EventType
    @Option(help: "The event's source.") var source: String = "freshet-cli"
    @Option(help: "The event's id; made up unless said otherwise. Only with --data.") var id: String?
    @Option(help: "The partition key: events with the same key stay in order.") var key: String?
    @Option(help: "What it happened to.") var subject: String?
    @Option(help: "The version of the data's shape, from 1.") var schemaVersion: Int = 1
    @Option(help: "The data. Without it each line of standard input is one event's data.") var data: String?
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    /// What is printed.
    struct Published: Encodable {
        let id: String
        let position: StreamID
    }

    func validate() throws {
        guard schemaVersion >= 1 else { throw ValidationError("--schema-version begins with 1") }
        guard !source.isEmpty, id?.isEmpty != true, key?.isEmpty != true else {
            throw ValidationError("--source, --id and --key are not empty")
        }
        guard id == nil || data != nil else {
            throw ValidationError("--id names one event: give it with --data")
        }
    }

    func run() async throws {
        if let data, let fault = JSONSyntax.fault(in: Array(data.utf8)) {
            throw ToolError(.badData, "--data: \(fault)")
        }
        try await connection.withBroker { broker in
            let known = try await broker.topic(named: topic) ?? Topic(topic)
            let publisher = Publisher(to: known, on: broker)
            if let data {
                let event = event(Array(data.utf8))
                let published = Published(id: event.id, position: try await publisher.publish(event))
                try output.show(published, sentence: published.id)
            } else {
                try await publishInput(publisher)
            }
        }
    }

    private func publishInput(_ publisher: Publisher) async throws {
        var lines = InputLines()
        var rows = output.rowOutput(columns: [("id", { (event: Published) in event.id })], isBare: true)
        var count = 0
        do {
            while let chunk = try lines.next() {
                // What comes before a bad line is published, whatever pieces the input comes in.
                var (events, fault) = ([Event](), ToolError?.none)
                for (number, line) in chunk where !JSONSyntax.isBlank(line) {
                    if let reason = JSONSyntax.fault(in: line) {
                        fault = ToolError(.badData, "-:\(number): \(reason)")
                        break
                    }
                    events.append(event(line))
                }
                for (event, result) in zip(events, try await publisher.publish(events)) {
                    try rows.add(Published(id: event.id, position: result.get()))
                    count += 1
                }
                rows.flush()
                if let fault { throw fault }
            }
        } catch {
            rows.finish()
            let error = ToolError(error)
            if count == 0 { throw error }
            throw ToolError(.partlyDone, "\(error); \(count) events were published before")
        }
        rows.finish()
    }

    private func event(_ data: [UInt8]) -> Event {
        Event(
            id: id, source: source, type: type, schemaVersion: schemaVersion, subject: subject,
            partitionKey: key, data: EventData(data))
    }
}
