internal import ArgumentParser
internal import FreshetService

/// The tool to look with, and to put single things right.
@main
struct FreshetTool: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "freshet",
        abstract:
            "The one tool to look with: topics, groups, consumers, events, retries and dead letters; and to put them right.",
        discussion: """
            When something is wrong, in this order:
              freshet doctor                                  the server, rights, groups, databases: what is wrong, and what helps
              freshet groups --watch                          who keeps up, who falls behind, and how many replicas that would take
              freshet consumers --group payment               who lives, and what the dead ones hold
              freshet pending --group payment --idle-over 30s what hangs, with whom, since when
              freshet retries list --topic orders --group payment
              freshet dead errors --topic orders --group payment    why events were given up
              freshet dead retry --topic orders --group payment --all
              freshet trace order-17                          one story across all topics: what came of what, waits and gaps
              freshet tail orders --from 15m --format ndjson | jq .fields.data
            A bug has written wrong records, or events were lost: see the replay tool.

            Every day:
              freshet topics apply topics.json
              freshet check                                   for monitors: OK 0, WARNING 1, CRITICAL 2, UNKNOWN 3
              freshet publish orders --type order.placed --key o-1 --data '{"id":1}'
              freshet invalid errors --topic orders --group payment
              freshet schema check schemas /tmp/new-schemas
              freshet exporter --namespace shop --once

            Examples and what the columns mean: freshet help COMMAND. Data goes to standard output, everything else to standard error.

            Exit codes: 0 done, 1 failed, 2 partly done, 64 usage, 65 bad data, 69 Redis unreachable, 75 try again later, \
            78 wrong password or URL, 130 interrupted. check: 0 to 3; doctor: 0, 1 with warnings, 2 with critical findings.
            """,
        subcommands: [
            Doctor.self, Groups.self, Consumers.self, Pending.self, Retries.self, Dead.self, Invalid.self,
            Tail.self, Trace.self, Check.self, Exporter.self, HealthCommand.self, Topics.self, Publish.self,
            Schema.self,
        ])

    static func main() async {
        // A monitor takes every other exit code for a broken plugin.
        let isForMonitor = CommandLine.arguments.dropFirst().first == "check"
        await Tool.main(Self.self, failing: isForMonitor ? { Check.endUnknown($0) } : nil)
    }
}
