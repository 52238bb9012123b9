/// Starts a server, runs the body, and stops the server in any case, also when it did not start.
func withServer<R>(
    start: () async throws -> Void, stop: () async -> Void, _ body: () async throws -> R
) async throws -> R {
    do {
        try await start()
        let result = try await body()
        await stop()
        return result
    } catch {
        await stop()
        throw error
    }
}
