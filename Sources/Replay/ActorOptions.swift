internal import ArgumentParser
internal import FoundationEssentials
internal import FreshetReplay
internal import Glibc

/// Who does it, and why, for the audit stream.
struct ActorOptions: ParsableArguments {
    @Option(help: "Why it is done: kept in the audit stream.") var reason: String = ""

    @Option(name: .customLong("as"), help: "Who does it. [FRESHET_OPERATOR, default USER@HOST]")
    var name: String?

    var actor: Actor {
        let environment = ProcessInfo.processInfo.environment
        let user = environment["USER"] ?? "uid-\(getuid())"
        return Actor(
            name ?? environment["FRESHET_OPERATOR"] ?? "\(user)@\(ProcessInfo.processInfo.hostName)",
            reason: reason)
    }
}
