public import ArgumentParser
internal import Glibc

/// How command-line programs run and end: a failure is one line on standard error and an exit code that scripts can tell
/// apart (`ExitStatus`).
public enum Tool {
    /// Parses the process's arguments, runs the command and, unless it returns, exits. Call it from `static func main()`
    /// of the `@main` type.
    ///
    /// - Parameter failing: ends the process after a failure in another way than one line and `ExitStatus`; nil in that way.
    public static func main<Command: AsyncParsableCommand>(
        _ command: Command.Type, failing: ((ToolError) -> Never)? = nil
    ) async {
        let name = Command.configuration.commandName ?? "\(command)"
        do {
            var parsed = try Command.parseAsRoot()
            if var asynchronous = parsed as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try parsed.run()
            }
        } catch let error as ExitCode {
            Glibc.exit(error.rawValue)
        } catch let error where Command.exitCode(for: error) == .validationFailure {
            failing?(ToolError(.usage, Command.message(for: error)))
            StandardError.write(
                "\(name): \(OneLine.escaped(Command.message(for: error))) (see \(name) --help)")
            Glibc.exit(ExitStatus.usage.rawValue)
        } catch let error where Command.exitCode(for: error) == .failure {
            let error = ToolError(error)
            failing?(error)
            StandardError.write("\(name): \(OneLine.escaped(error.description))")
            Glibc.exit(error.status.rawValue)
        } catch {
            Command.exit(withError: error)  // help and version
        }
    }
}
