internal import ArgumentParser
internal import FreshetReplay
internal import FreshetService

/// Recovery: events that must be seen again.
@main
struct ReplayTool: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Recovers lost work: has events seen again, moves positions, archives and restores topics.",
        discussion: """
            plan says exactly what a replay would do and keeps that; start does it; run is both. What runs can be watched, paused,
            resumed and cancelled from anywhere, and killed: it goes on where it was. Every action is on record: audit.

            redeliver puts events of the history on one group's redelivery stream, beside its live reading. Its inbox skips
            what was done, so only lost work is done again. No other group notices.

            rewind moves the group's own position, back or forth. Its workers must hold nothing: stop them first.

            Examples:
              replay redeliver --topic orders --group payment --from 2h --to end --type order.placed --dry-run
              replay redeliver --topic orders --group payment --from start --to end --yes
              replay rewind --topic orders --group payment --to 2026-11-23T10:00:00Z
              replay archive --all --to /mnt/archive --follow
              replay verify-archive /mnt/archive
              replay restore --from /mnt/archive --all --yes

            archive copies topics to a folder before retention trims them, verify-archive checks it, restore brings topics back
            into an empty Redis or publishes a range anew.

            A place is \(ReplayPoint.forms). What changes something says what it will do and asks; off a terminal it needs --yes.

            Exit codes: 0 done, also when nothing was there to do, 1 failed, 2 partly done, 64 usage, \
            65 an archive that was altered, 69 Redis unreachable, 75 try again later, 78 wrong password or URL, 130 interrupted.
            """,
        subcommands: [
            PlanCommand.self, Start.self, RunCommand.self, Redeliver.self, RewindCommand.self,
            ListCommand.self,
            Status.self, Watch.self, Pause.self, Resume.self, Cancel.self, Report.self, Audit.self,
            ArchiveCommand.self, VerifyArchiveCommand.self, RestoreCommand.self, HealthCommand.self,
        ])

    static func main() async { await Tool.main(Self.self) }
}
