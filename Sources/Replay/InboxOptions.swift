internal import ArgumentParser
internal import FoundationEssentials
internal import Freshet
internal import FreshetRecords
internal import FreshetService

/// Whether a plan looks what the group's inbox has.
struct InboxOptions: ParsableArguments {
    @Option(
        name: .customLong("database-url"),
        help: "The group's own database, to say how many of the events its inbox will skip. It is only read.")
    var databaseURL: String?

    /// Nil when there is no database to look at.
    func look(for group: GroupName?) throws -> (([(source: String, id: String)]) async throws -> Int)? {
        guard let databaseURL else { return nil }
        guard let group else { throw ToolError(.usage, "--database-url goes with --group") }
        // Opening a file that is not there would make one.
        if databaseURL.hasPrefix("sqlite:") {
            let path = databaseURL.dropFirst("sqlite:".count)
            guard FileManager.default.fileExists(atPath: String(path)) else {
                throw ToolError(.badConfiguration, "--database-url: there is no file '\(path)'")
            }
        }
        let records: any Records
        do { records = try RecordsDatabase.open(url: databaseURL) } catch {
            throw ToolError(.badConfiguration, error.description)
        }
        return { events in try await records.handledCount(of: events, by: group) }
    }
}
