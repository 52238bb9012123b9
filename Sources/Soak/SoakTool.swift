internal import ArgumentParser
internal import FreshetService

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
              soak kill --lossy
              soak limits
              soak failover --on cluster
              soak rebalance
              soak drain --store postgres
              soak scale --workers 1,2,4,8
              soak shop --store postgres

            The seed is printed; the same seed makes the same faults at the same times. Exit codes: 0 all held, 1 something did \
            not, 64 usage, 130 interrupted.
            """,
        subcommands: [
            KillCommand.self,
            LimitsCommand.self,
            FailoverCommand.self,
            RebalanceCommand.self,
            ReclaimCommand.self,
            ReplayCommand.self,
            ShopCommand.self,
            RollingCommand.self,
            OwnersCommand.self,
            DrainCommand.self,
            ScaleCommand.self,
            PublishCommand.self,
            ConsumerCommand.self,
            WorkerCommand.self,
        ])

    static func main() async { await Tool.main(Self.self) }
}

/// What every event says, beside its key.
struct Numbered {
    static let type = "soak.numbered"
    /// In the place of the number: the handler takes hours.
    static let slow = "slow"
    /// It never returns, cancelled or not.
    static let stuck = "stuck"
    /// It never gives its thread back.
    static let blocking = "blocking"
}
