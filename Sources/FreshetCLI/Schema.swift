internal import ArgumentParser

/// `freshet schema`
struct Schema: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Schemas: what events are like, and which changes of them break consumers.",
        discussion: """
            Examples:
              freshet schema export --to schemas
              freshet schema export ./payment-worker ./order-worker --to schemas
              freshet schema check schemas /tmp/new-schemas
              freshet schema check old.json new.json --format json
            """,
        subcommands: [Export.self, Check.self])
}
