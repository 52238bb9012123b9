internal import Freshet
internal import FreshetRecords
internal import FreshetReplay
internal import FreshetSchema
internal import Hiredis

/// An error that ends a tool with this status and one line.
public struct ToolError: Error, Sendable, CustomStringConvertible {
    /// The status.
    public let status: ExitStatus
    /// The line, without the tool's name. Never holds a password.
    public let description: String

    /// An error.
    public init(_ status: ExitStatus, _ message: String) {
        self.status = status
        description = message
    }

    /// What an error of any layer means for a tool: a server that cannot be reached is `unreachable`, one that is busy with
    /// itself `tryAgain`, refused credentials and a bad URL are `badConfiguration`, data that is not what it should be is
    /// `badData`.
    public init(_ error: any Error) {
        switch error {
        case let error as ToolError: self = error
        case let error as FreshetError:
            if let cause = error.cause {
                self.init(cause)
            } else {
                self.init(Self.status(of: error.code), error.description)
            }
        case let error as ArchiveError: self.init(Self.status(of: error.code), error.description)
        case let error as RedisError: self.init(Self.status(of: error), error.description)
        case let error as RecordsError:
            let status: ExitStatus =
                switch error.code {
                case .unavailable: .unreachable
                case .busy: .tryAgain
                default: .badConfiguration
                }
            self.init(status, error.description)
        case let error as SchemaError:
            self.init(error.code == .unreadable ? .badData : .failed, error.description)
        default: self.init(.failed, "\(error)")
        }
    }

    private static func status(of code: FreshetError.Code) -> ExitStatus {
        switch code {
        case .invalidName: .usage
        case .invalidData, .invalidEvent: .badData
        case .busy: .tryAgain
        default: .failed
        }
    }

    private static func status(of code: ArchiveError.Code) -> ExitStatus {
        switch code {
        case .altered: .badData
        case .locked: .tryAgain
        default: .failed
        }
    }

    private static func status(of error: RedisError) -> ExitStatus {
        switch error.code {
        case .connectionFailed, .connectionLost, .timedOut: .unreachable
        case .authentication, .invalidConfiguration: .badConfiguration
        case .server where error.isRetryable: .tryAgain
        default: .failed
        }
    }
}
