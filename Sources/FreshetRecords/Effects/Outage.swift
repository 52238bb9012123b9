internal import Hiredis
internal import Logging
internal import Synchronization

/// A database that is not there, is full or takes no writes: those who need it wait, and the log says so once.
final class Outage: Sendable {
    private let began = Guarded<ContinuousClock.Instant?>(nil)
    private let logger: Logger

    init(_ logger: Logger) { self.logger = logger }

    /// Runs the body again and again while the database is unavailable, or was gone before it could say how a commit
    /// ended; the body does no harm when it runs twice. Ends with the task.
    func sitOut<Value>(_ body: () async throws -> Value) async throws -> Value {
        var pause = Duration.milliseconds(20)
        while true {
            do {
                let value = try await body()
                end()
                return value
            } catch let error as RecordsError where [.unavailable, .unknownOutcome].contains(error.code) {
                begin(error)
                try await Task.sleep(for: pause * Double.random(in: 0.5...1))
                pause = min(pause * 2, .seconds(1))
            }
        }
    }

    private func begin(_ error: RecordsError) {
        let isFirst = began.withLock { began in
            defer { began = began ?? .now }
            return began == nil
        }
        if isFirst { logger.warning("waiting for the database", metadata: ["reason": "\(error)"]) }
    }

    private func end() {
        let since = began.withLock { began in
            defer { began = nil }
            return began
        }
        if let since {
            logger.notice("the database is back", metadata: ["after": "\(ContinuousClock.now - since)"])
        }
    }
}
