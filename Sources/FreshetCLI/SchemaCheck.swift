internal import ArgumentParser
internal import FreshetSchema
internal import FreshetService

extension Schema {
    struct Check: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Says how two exports differ, and which differences break consumers.",
            discussion: """
                An export is a folder that 'export' has written, an AsyncAPI document, or the JSON Schema of one event; OLD is \
                what consumers know and what the log was written with.

                A difference breaks consumers when programs of the old schema cannot read new events, or programs of the new \
                schema cannot read what is in the log. Within a version nearly every one does; optional members that come or go, \
                new versions and new events do not.

                Exit codes: 0 nothing breaks, 1 something does, 65 an export cannot be read.
                """)

        @Argument(help: "The export that is known.") var old: String
        @Argument(help: "The one that is to take its place.") var new: String
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let changes = try Self.changes(try ExportedSchemas(at: old), try ExportedSchemas(at: new))
            if changes.isEmpty { StandardError.write("Nothing has changed.") }
            try output.show(
                changes,
                columns: [
                    ("effect", { $0.isBreaking ? "breaking" : "compatible" }), ("event", { $0.event }),
                    ("where", { $0.path }), ("change", { $0.change }), ("why", { $0.why }),
                    ("instead", { $0.instead.isEmpty ? "-" : $0.instead }),
                ])
            let breaking = changes.count(where: \.isBreaking)
            guard breaking == 0 else {
                throw ToolError(.failed, "\(breaking) of \(changes.count) changes break consumers")
            }
        }

        private static func changes(_ old: ExportedSchemas, _ new: ExportedSchemas) throws -> [SchemaChange] {
            switch (old.content, new.content) {
            case (.schema(let before), .schema(let after)): return before.changes(to: after, of: old.name)
            case (.catalog(let before), .catalog(let after)):
                if before.hasTopics != after.hasTopics {
                    StandardError.write("Only one of the two says on which topics events are: not compared.")
                }
                return before.changes(to: after)
            default:
                throw ToolError(.usage, "one is the schema of a single event, the other is not")
            }
        }
    }
}
