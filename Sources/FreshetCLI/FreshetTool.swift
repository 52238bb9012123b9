internal import ArgumentParser
internal import FreshetService

/// The tool to look with, and to put single things right.
@main
struct FreshetTool: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "freshet",
        abstract:
            "Declares topics, looks at groups, events, stories, retries and dead letters, and compares schemas.",
        discussion: """
            Examples:
              freshet topics apply topics.json
              freshet groups --namespace shop
              freshet tail orders --namespace shop --follow
              freshet tail orders --from 15m --format ndjson | jq .fields.data
              freshet trace order-17 --namespace shop
              freshet publish orders --type order.placed --key o-1 --data '{"id":1}'
              freshet retries list --topic orders --group payment
              freshet dead list --topic orders --group payment
              freshet dead retry --topic orders --group payment --all
              freshet invalid errors --topic orders --group payment
              freshet schema export --to schemas
              freshet schema check schemas /tmp/new-schemas

            Data goes to standard output, everything else to standard error.

            Exit codes: 0 done, 1 failed, 2 partly done, 64 usage, 65 bad data, 69 Redis unreachable, 75 try again later, \
            78 wrong password or URL, 130 interrupted.
            """,
        subcommands: [
            Topics.self, Groups.self, Tail.self, Trace.self, Publish.self, Retries.self, Dead.self,
            Invalid.self,
            Schema.self,
        ])

    static func main() async { await Tool.main(Self.self) }
}
