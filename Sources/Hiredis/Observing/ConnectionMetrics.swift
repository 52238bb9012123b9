internal import Metrics
internal import Synchronization

/// What goes to swift-metrics about the connections to one server, labelled `server` with its URL without credentials:
///
/// - `freshet_redis_commands_total`, `freshet_redis_sent_bytes_total`, `freshet_redis_received_bytes_total`: counters.
/// - `freshet_redis_connects_total`: connections that were made, the first included.
/// - `freshet_redis_connections`: those that are open.
/// - `freshet_redis_errors_total`: failed commands, with the label `code`: the server's first word, or our own kind.
/// - `freshet_redis_commands_in_flight`: what was written and not answered yet, of all connections of this process.
/// - `freshet_redis_request_seconds`: a timer from a request's submission to its replies, waiting included, to the
///   precision of a turn of the loop.
final class ConnectionMetrics: Sendable {
    private let labels: [(String, String)]
    private let commands: Counter
    private let sentBytes: Counter
    private let receivedBytes: Counter
    private let connects: Counter
    private let connections: Meter
    private let inFlight: Meter
    private let duration: Timer
    private let errors = Guarded<[String: Counter]>([:])

    private static let known = Guarded<[String: ConnectionMetrics]>([:])

    /// The metrics of this server, made once a process.
    static func of(_ server: String) -> ConnectionMetrics {
        known.withLock { known in
            if let metrics = known[server] { return metrics }
            let metrics = ConnectionMetrics(server)
            known[server] = metrics
            return metrics
        }
    }

    private init(_ server: String) {
        labels = [("server", server)]
        commands = Counter(label: "freshet_redis_commands_total", dimensions: labels)
        sentBytes = Counter(label: "freshet_redis_sent_bytes_total", dimensions: labels)
        receivedBytes = Counter(label: "freshet_redis_received_bytes_total", dimensions: labels)
        connects = Counter(label: "freshet_redis_connects_total", dimensions: labels)
        connections = Meter(label: "freshet_redis_connections", dimensions: labels)
        inFlight = Meter(label: "freshet_redis_commands_in_flight", dimensions: labels)
        duration = Timer(
            label: "freshet_redis_request_seconds", dimensions: labels, preferredDisplayUnit: .seconds)
    }

    /// What one connection gathers in a turn of the loop: a metrics backend takes locks.
    struct Tally {
        var commands = 0
        var sentBytes = 0
        var receivedBytes = 0
        /// What of `commandsInFlight` was reported before.
        var reportedInFlight = 0
    }

    func report(_ tally: inout Tally, commandsInFlight: Int) {
        if tally.commands > 0 { commands.increment(by: tally.commands) }
        if tally.sentBytes > 0 { sentBytes.increment(by: tally.sentBytes) }
        if tally.receivedBytes > 0 { receivedBytes.increment(by: tally.receivedBytes) }
        let change = commandsInFlight - tally.reportedInFlight
        if change > 0 { inFlight.increment(by: Double(change)) }
        if change < 0 { inFlight.decrement(by: Double(-change)) }
        tally = Tally(reportedInFlight: commandsInFlight)
    }

    func connected() {
        connects.increment()
        connections.increment()
    }

    func disconnected() { connections.decrement() }

    func answered(after nanoseconds: Nanoseconds) { duration.recordNanoseconds(Int64(clamping: nanoseconds)) }

    func failed(_ error: RedisError) {
        let code = error.serverCode?.rawValue ?? error.code.description
        let counter = errors.withLock { errors in
            if let counter = errors[code] { return counter }
            let counter = Counter(
                label: "freshet_redis_errors_total", dimensions: labels + [("code", code)])
            errors[code] = counter
            return counter
        }
        counter.increment()
    }
}
