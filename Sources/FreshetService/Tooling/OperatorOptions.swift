public import ArgumentParser
internal import FoundationEssentials
public import Freshet
internal import Glibc

/// Who does it, and why, for the audit stream.
public struct OperatorOptions: ParsableArguments {
    @Option(help: "Why it is done: kept in the audit stream.") var reason: String = ""

    @Option(name: .customLong("as"), help: "Who does it. [FRESHET_OPERATOR, default USER@HOST]")
    var name: String?

    /// Neither said.
    public init() {}

    /// Who does it, as the audit stream names it.
    public var actor: Operator {
        let environment = ProcessInfo.processInfo.environment
        let user = environment["USER"] ?? "uid-\(getuid())"
        return Operator(
            name ?? environment["FRESHET_OPERATOR"] ?? "\(user)@\(ProcessInfo.processInfo.hostName)",
            reason: reason)
    }
}
