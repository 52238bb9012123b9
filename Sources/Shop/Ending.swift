internal import ArgumentParser
internal import Freshet
internal import FreshetRecords
internal import FreshetService
internal import FreshetTesting
internal import Hiredis

/// Errors as one line and an exit code.
enum Ending {
    static func run(_ name: String, _ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let error as ExitCode {
            throw error
        } catch {
            let (status, reason) = explain(error)
            StandardError.write("\(name): \(reason)")
            throw ExitCode(status.rawValue)
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
