internal import Dispatch
internal import Glibc
internal import Hiredis
internal import Synchronization

extension PostgresRecords {
    /// Listens on a connection of its own (LISTEN), which is not to go through a pool of transactions.
    public func listen(_ onNotice: @escaping @Sendable () -> Void) async throws {
        let listener = PostgresListener()
        let url = url
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation {
                (continuation: CheckedContinuation<Void, any Error>) in
                DispatchQueue(label: "freshet.postgresql.listener").async {
                    continuation.resume(with: Result { try listener.listen(url: url, onNotice) })
                }
            }
        } onCancel: {
            listener.stop()
        }
    }
}

/// Waits for notices on a thread of its own.
private final class PostgresListener: Sendable {
    private struct State {
        /// The connection's socket under a number of its own: libpq may close its one at any moment, and then that is another's.
        var socket: Int32?
        var isStopped = false
    }
    private let state = Guarded(State())

    func listen(url: String, _ onNotice: () -> Void) throws {
        do throws(PostgresFailure) {
            let connection = try PostgresConnection(url: url)
            defer { forget() }
            let isStopped = state.withLock { state in
                state.socket = dup(connection.socket)
                return state.isStopped
            }
            if isStopped { return }
            try connection.send("SELECT quote_ident('freshet ' || md5(current_schema())) AS channel")
            let channel = try connection.results()?.rows.first?.text("channel") ?? ""
            try connection.send("LISTEN \(channel)")
            try connection.results()
            onNotice()
            while true {
                try connection.waitForNotice()
                onNotice()
            }
        } catch {
            if state.withLock({ $0.isStopped }) { return }
            throw error.recordsError
        }
    }

    private func forget() {
        state.withLock { state in
            if let socket = state.socket { close(socket) }
            state.socket = nil
        }
    }

    /// Ends the wait from another thread.
    func stop() {
        state.withLock { state in
            state.isStopped = true
            if let socket = state.socket { _ = shutdown(socket, Int32(SHUT_RDWR)) }
        }
    }
}
