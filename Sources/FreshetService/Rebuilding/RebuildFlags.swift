public import ArgumentParser

/// The flags of a worker that makes its tables anew and exits.
public struct RebuildFlags: ParsableArguments {
    @Flag(
        help: """
            Make the service's tables anew from the history of what it reads, beside those in use, put them in their place and \
            exit. Other workers go on meanwhile. With what has changed on standard output. [exits 75 while another rebuild is under way, \
            130 when interrupted]
            """)
    var rebuild = false

    @Option(
        help: "With --rebuild: the folder with what the logs have no more, as 'replay archive' writes it.")
    var archive: String?

    @Flag(help: "With --rebuild: only compare; exits 2 when there is a difference.")
    var dryRun = false

    @Flag(
        help:
            "With --rebuild: publish events that the handlers would have published and that are not in the history."
    )
    var publishMissing = false

    @Flag(
        help:
            "With --rebuild: go on although the history lacks events that the service has handled; their effects are lost."
    )
    var allowGaps = false

    /// No flags.
    public init() {}

    /// Refuses flags that mean nothing.
    public func validate() throws {
        if !rebuild, dryRun || publishMissing || allowGaps || archive != nil {
            throw ValidationError(
                "--archive, --dry-run, --publish-missing and --allow-gaps go with --rebuild")
        }
        if dryRun, publishMissing { throw ValidationError("--dry-run publishes nothing") }
    }

    /// Nil when nothing is to be rebuilt.
    var options: RebuildOptions? {
        guard rebuild else { return nil }
        var options = RebuildOptions()
        (options.isDryRun, options.publishesMissing, options.allowsGaps) = (dryRun, publishMissing, allowGaps)
        options.archive = archive
        return options
    }
}
