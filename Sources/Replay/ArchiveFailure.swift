internal import FreshetReplay
internal import FreshetService

/// What an archive's errors mean for a tool.
enum ArchiveFailure {
    static func named<R>(_ body: () async throws -> R) async throws -> R {
        do {
            return try await body()
        } catch let error as ArchiveError {
            throw ToolError(status(of: error.code), error.description)
        }
    }

    private static func status(of code: ArchiveError.Code) -> ExitStatus {
        switch code {
        case .altered: .badData
        case .locked: .tryAgain
        default: .failed
        }
    }
}
