internal import ArgumentParser
internal import Freshet

/// `freshet dead`
struct Dead: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Dead letters: events whose attempts were used up.",
        discussion: """
            Examples:
              freshet dead list --topic orders --group payment
              freshet dead errors --topic orders --group payment
              freshet dead show --topic orders --group payment --id 1763894000000-0
              freshet dead retry --topic orders --group payment --error 'no answer within # s'
              freshet dead retry --topic orders --group payment --id 1763894000000-0 1763894000001-0
              freshet dead retry --topic orders --group payment --all --dry-run
              freshet dead discard --topic orders --group payment --all --yes
            """,
        subcommands: [
            ListLetters<Letters>.self, ShowLetters<Letters>.self, ErrorsOfLetters<Letters>.self,
            RetryLetters<Letters>.self, DiscardLetters<Letters>.self,
        ])

    enum Letters: SetAsideLetters {
        static let kind = SetAside.dead
        static let noun = "dead letter"
        static let plural = "dead letters"
    }
}
