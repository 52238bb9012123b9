internal import ArgumentParser

/// Proofs that take minutes: consumers in processes of their own, a server of its own, and faults at random.
@main
struct SoakTool: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "soak",
        abstract: "Attacks delivery and records with random faults and checks what must always hold.",
        discussion: """
            Examples:
              soak kill
              soak kill --seed 7 --seconds 300
              soak rebalance
              soak shop --store postgres

            The seed is printed; the same seed makes the same faults at the same times. Exit codes: 0 all held, 1 something did \
            not, 64 usage, 130 interrupted.
            """,
        subcommands: [
            KillCommand.self, RebalanceCommand.self, ReclaimCommand.self, ShopCommand.self,
            RollingCommand.self, OwnersCommand.self, ConsumerCommand.self,
        ])
}

/// What every event says, beside its key.
struct Numbered {
    static let type = "soak.numbered"
    /// In the place of the number: the handler takes hours.
    static let slow = "slow"
}
