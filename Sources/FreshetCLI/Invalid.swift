internal import ArgumentParser
internal import Freshet

/// `freshet invalid`
struct Invalid: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Invalid entries: those that a group could not read, byte for byte.",
        discussion: """
            No events, events of another shape than their version says, or of a newer version than the program knew. After \
            an upgrade 'retry' brings these back: the group reads them again, beside its live reading.

            Examples:
              freshet invalid errors --topic orders --group payment
              freshet invalid list --topic orders --group payment
              freshet invalid retry --topic orders --group payment --error 'schemaversion # is newer than #, the newest known'
              freshet invalid retry --topic orders --group payment --all
              freshet invalid discard --topic orders --group payment --id 1763894000000-0
            """,
        subcommands: [
            ListLetters<Letters>.self, ShowLetters<Letters>.self, ErrorsOfLetters<Letters>.self,
            RetryLetters<Letters>.self, DiscardLetters<Letters>.self,
        ])

    enum Letters: SetAsideLetters {
        static let kind = SetAside.invalid
        static let noun = "invalid entry"
        static let plural = "invalid entries"
    }
}
