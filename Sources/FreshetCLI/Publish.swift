internal import ArgumentParser
internal import FoundationEssentials
internal import Freshet
internal import FreshetService

/// `freshet publish`
struct Publish: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Publishes an event, or one for each line of standard input.",
        discussion:
            "The data is JSON. What was published is printed: the event's id and where it stands in the log.")

    @Argument(help: "The topic.") var topic: TopicName
    @Option(help: "The event's type.") var type: EventType
    @Option(help: "The event's source.") var source: String = "freshet-cli"
    @Option(help: "The event's id; made up unless said otherwise. Not for several events.") var id: String?
    @Option(help: "The partition key.") var key: String?
    @Option(help: "What it happened to.") var subject: String?
    @Option(help: "The version of the data's shape, from 1.") var schemaVersion: Int = 1
    @Option(help: "The data. Without it each line of standard input is one event's data.") var data: String?
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    private struct Published: Encodable {
        let id: String
        let position: String
    }

    func validate() throws {
        guard schemaVersion >= 1 else { throw ValidationError("--schema-version begins with 1") }
        guard !source.isEmpty, id?.isEmpty != true else {
            throw ValidationError("--source and --id are not empty")
        }
        guard id == nil || data != nil else {
            throw ValidationError("--id names one event: give it with --data")
        }
    }

    func run() async throws {
        try await connection.withBroker { broker in
            let known = try await broker.topics().first { $0.name == topic } ?? Topic(topic)
            let publisher = Publisher(to: known, on: broker)
            var published: [Published] = []
            var number = 0
            func publish(_ text: String) async throws {
                number += 1
                if let fault = Self.fault(of: text) {
                    throw ToolError(.badData, "\(data == nil ? "-:\(number)" : "--data"): \(fault)")
                }
                let event = Event(
                    id: id, source: source, type: type, schemaVersion: schemaVersion, subject: subject,
                    partitionKey: key, data: EventData(Array(text.utf8)))
                let position = try await publisher.publish(event)
                published.append(Published(id: event.id, position: position.description))
            }
            if let data {
                try await publish(data)
            } else {
                while let line = readLine() {
                    if line.allSatisfy(\.isWhitespace) { number += 1 } else { try await publish(line) }
                }
            }
            try output.show(published, columns: [("id", { $0.id }), ("position", { $0.position })])
        }
    }

    /// Why a text is no JSON; nil when it is.
    private static func fault(of text: String) -> String? {
        do {
            _ = try JSONDecoder().decode(AnyJSON.self, from: Data(text.utf8))
            return nil
        } catch {
            return "not JSON"
        }
    }

    private struct AnyJSON: Decodable {
        init(from decoder: any Decoder) throws {}
    }
}
