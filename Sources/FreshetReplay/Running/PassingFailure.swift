internal import Freshet
internal import Hiredis

/// How long a server is waited for that does not answer while something is put there: longer than a failover
/// takes.
struct PassingFailure {
    private static let patience = Duration.seconds(15)

    private var count: Int
    private var began = ContinuousClock.now

    init(at count: Int) { self.count = count }

    /// Waits a moment for a server that is away; throws the error when it is of another kind, or it lasts for
    /// too long.
    ///
    /// - Parameter count: how many events have been put: what goes on begins anew.
    mutating func wait(_ error: any Error, at count: Int) async throws {
        if error is CheckpointMoved { return }
        if count != self.count { (self.count, began) = (count, .now) }
        guard Self.isPassing(error), ContinuousClock.now - began < Self.patience else { throw error }
        try await Task.sleep(for: .milliseconds(200))
    }

    static func isPassing(_ error: any Error) -> Bool {
        switch error {
        case let error as FreshetError: error.isRetryable || error.mayHaveRun
        case let error as RedisError: error.isRetryable || error.mayHaveRun
        default: false
        }
    }
}
