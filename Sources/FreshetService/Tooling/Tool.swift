public import ArgumentParser
internal import Freshet
internal import FreshetRecords
internal import Glibc
internal import Hiredis

/// How command-line programs run and end: a failure is one line on standard error and an exit code that scripts can tell
/// apart (`ExitStatus`).
public enum Tool {
    /// Parses the process's arguments, runs the command and, unless it returns, exits. Call it from `static func main()`
    /// of the `@main` type.
    public static func main<Command: AsyncParsableCommand>(_ command: Command.Type) async {
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
        } catch let error
            where error is ToolError || error is FreshetError || error is RedisError || error is RecordsError
        {
            let (status, reason) = explain(error)
            StandardError.write("\(name): \(reason)")
            Glibc.exit(status.rawValue)
        } catch let error where Command.exitCode(for: error) == .validationFailure {
            StandardError.write("\(name): \(Command.message(for: error)) (see \(name) --help)")
            Glibc.exit(ExitStatus.usage.rawValue)
        } catch let error where Command.exitCode(for: error) == .failure {
            StandardError.write("\(name): \(error)")
            Glibc.exit(ExitStatus.failed.rawValue)
        } catch {
            Command.exit(withError: error)  // help and version
        }
    }

    private static func explain(_ error: any Error) -> (ExitStatus, String) {
        switch error {
        case let error as ToolError: return (error.status, error.description)
        case let error as FreshetError:
            if let cause = error.cause { return explain(cause) }
            return (error.code == .invalidName ? .usage : .failed, error.description)
        case let error as RedisError:
            switch error.code {
            case .connectionFailed, .connectionLost, .timedOut: return (.unreachable, error.description)
            case .authentication, .invalidConfiguration: return (.badConfiguration, error.description)
            default: return (.failed, error.description)
            }
        case let error as RecordsError: return (.badConfiguration, error.description)
        default: return (.failed, "\(error)")
        }
    }
}
