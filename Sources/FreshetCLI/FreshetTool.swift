internal import ArgumentParser
internal import Freshet
internal import FreshetService

/// The tool to look with.
@main
struct FreshetTool: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "freshet",
        abstract: "Looks at topics, groups and dead letters.",
        discussion: """
            Examples:
              freshet groups --namespace shop
              freshet tail orders --namespace shop --count 5
              freshet publish orders --type order.placed --key o-1 --data '{"orderId":"o-1"}'
              freshet dead list --topic orders --group payment --namespace shop

            Exit codes: 64 usage, 65 bad data, 69 Redis unreachable, 78 wrong password or URL, 1 anything else.
            """,
        subcommands: [Groups.self, Tail.self, Publish.self, Dead.self])

    static func main() async { await Tool.main(Self.self) }
}
