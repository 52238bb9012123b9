internal import Freshet
internal import FreshetRecords
internal import Hiredis
internal import Synchronization

/// What a process says of itself to those who watch it: whether it lives, is ready, and has started.
///
/// *Alive* never asks Redis or the database: a process does not get better by being started anew when they are away. It
/// fails when a subscription's reader has not come round for longer than it can take (`Pulse`).
final class Health: Sendable {
    /// What can be asked.
    enum Question: String, CaseIterable {
        case live, ready, startup

        /// Its path, as Kubernetes' own components name theirs.
        var path: String { "/\(rawValue)z" }
    }

    /// One thing that was looked at.
    struct Check: Sendable, Equatable {
        let name: String
        /// Nil when it is well.
        var failure: String?
    }

    private struct State {
        var isDraining = false
        var migrations: String? = "not checked yet"
        var connection: String? = "not connected yet"
        /// Nil until they are made.
        var subscriptions: [Subscription]?
        var server: Probe?
        var database: Probe?
    }
    private let state = Mutex(State())
    /// Whether there is a database, which an exporter has not.
    private let hasDatabase: Bool

    init(hasDatabase: Bool = true) { self.hasDatabase = hasDatabase }

    // MARK: - What becomes known

    /// The tables are as this program needs them; or why that is not known yet.
    func migrated(_ database: any Records, failure: String?) {
        state.withLock { state in
            state.migrations = failure
            if state.database == nil {
                // Through the connection that writes: another one may be well while that one hangs.
                state.database = Probe { try await database.transaction { _ = try $0.query("SELECT 1") } }
            }
        }
    }

    /// There is a client, connected or not.
    func connecting(_ client: RedisClient) {
        let server = Probe {
            do {
                try await client.send(RedisCommand("PING"), timeout: .seconds(1))
            } catch let error as RedisError where error.serverCode == .noPermission {
                // It answers.
            }
        }
        state.withLock { $0.server = server }
    }

    /// The first connection is there.
    func connected() { state.withLock { $0.connection = nil } }

    /// What the process runs from now on.
    func runs(_ subscriptions: [Subscription]) { state.withLock { $0.subscriptions = subscriptions } }

    /// Nothing new is taken from now on.
    func drains() { state.withLock { $0.isDraining = true } }

    // MARK: - Answers

    /// What was looked at for an answer. All of it is well, or the answer is no.
    func checks(for question: Question) async -> [Check] {
        let checks = await allChecks(for: question)
        return hasDatabase ? checks : checks.filter { !["database", "migrations"].contains($0.name) }
    }

    /// Whether the answer is yes.
    func isWell(_ question: Question) async -> Bool {
        await checks(for: question).allSatisfy { $0.failure == nil }
    }

    private func allChecks(for question: Question) async -> [Check] {
        let state = state.withLock { $0 }
        switch question {
        case .live: return [Check(name: "process")] + (state.subscriptions ?? []).map(Self.reading)
        case .startup:
            return [
                Check(name: "migrations", failure: state.migrations),
                Check(name: "connection", failure: state.connection),
            ] + Self.groups(of: state.subscriptions)
        case .ready:
            async let server = Self.answer(of: state.server)
            async let database = Self.answer(of: state.database)
            return [
                Check(name: "draining", failure: state.isDraining ? "the process is being shut down" : nil),
                Check(name: "redis", failure: await server),
                Check(name: "database", failure: await database),
                Check(name: "migrations", failure: state.migrations),
            ] + Self.groups(of: state.subscriptions)
        }
    }

    private static func answer(of probe: Probe?) async -> String? {
        guard let probe else { return "not asked yet: the process is starting" }
        return await probe.failure()
    }

    private static func reading(_ subscription: Subscription) -> Check {
        var check = Check(name: "reading \(subscription.topic.name)")
        if let silence = subscription.pulse.silence, silence > subscription.pulse.patience {
            check.failure = "no sign of life for \(silence.components.seconds) s"
        }
        return check
    }

    private static func groups(of subscriptions: [Subscription]?) -> [Check] {
        guard let subscriptions else {
            return [Check(name: "groups", failure: "not made yet: the process is starting")]
        }
        return subscriptions.map { subscription in
            Check(
                name: "group \(subscription.group) of \(subscription.topic.name)",
                failure: subscription.pulse.hasGroup ? nil : "not made yet")
        }
    }
}
