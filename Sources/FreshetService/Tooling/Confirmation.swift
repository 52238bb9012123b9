public import ArgumentParser
internal import Glibc

/// Asks before something is changed.
public struct ConfirmationOptions: ParsableArguments {
    @Flag(help: "Do it without asking.")
    var yes = false

    @Flag(help: "Say what would be done, and do nothing.")
    var dryRun = false

    /// Whether nothing is to be done.
    public var isDryRun: Bool { dryRun }

    /// Neither.
    public init() {}

    /// Says what will be done, on standard error, and whether to go on: false for a dry run.
    ///
    /// On a terminal it asks; a "no" is thrown as `failed`. Off a terminal nobody can be asked: without `--yes` that is
    /// thrown as `usage`.
    public func isConfirmed(_ plan: String) throws -> Bool {
        StandardError.write(plan)
        if dryRun { return false }
        if yes { return true }
        guard isatty(0) == 1 else {
            throw ToolError(.usage, "not on a terminal, so nobody can be asked: add --yes to do it")
        }
        StandardError.write("Go on? [y/N]")
        guard ["y", "yes"].contains((readLine() ?? "").lowercased()) else {
            throw ToolError(.failed, "not confirmed, so nothing was changed")
        }
        return true
    }
}
