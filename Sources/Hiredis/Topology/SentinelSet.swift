internal import Logging

/// The sentinels of one primary: whom they name, and who wants to hear when that changes.
///
/// Each question goes to one sentinel after the other, each with a short time-out, until one knows; the one that
/// answered is asked first the next time. What a sentinel says is a hint: the connection itself asks the server for its
/// ROLE. `+switch-master` of every sentinel is listened to, so that a primary that was cut off from the others and
/// still answers us is left at once; it too only leads to the question.
///
/// `@unchecked Sendable` because all of it belongs to the loop's thread.
final class SentinelSet: @unchecked Sendable {
    private let name: String
    private let loop: RedisEventLoop
    /// Asked in this order.
    private var sentinels: [RedisClient] = []
    private var watches: [ConnectionCore] = []
    private var followers: [Follower] = []
    private var isWatching = false
    private var isAsking = false
    private var askers: [@Sendable (Result<RedisConfiguration.Address, RedisError>) -> Void] = []

    private struct Follower {
        weak var core: ConnectionCore?
    }

    private static let patience = Duration.milliseconds(500)

    /// - Parameter configuration: of the client; one for sentinels.
    init(_ configuration: RedisConfiguration, loop: RedisEventLoop, logger: Logger) {
        guard case .sentinel(let addresses, let name) = configuration.servers else {
            preconditionFailure("not a configuration for sentinels")
        }
        self.name = name
        self.loop = loop
        let silent = Logger(label: "hiredis", factory: { _ in SwiftLogNoOpLogHandler() })
        for address in addresses {
            var sentinel = configuration.single(address)
            (sentinel.user, sentinel.password) = (configuration.sentinelUser, configuration.sentinelPassword)
            (sentinel.database, sentinel.clientName) = (0, nil)
            sentinel.connectTimeout = min(configuration.connectTimeout, Self.patience)
            sentinel.commandTimeout = Self.patience
            sentinels.append(RedisClient(sentinel, role: .node, loop: loop, logger: silent))
            var events = RedisPipeline()
            events.append("SUBSCRIBE", "+switch-master")
            watches.append(
                ConnectionCore(
                    sentinel,
                    role: .subscriber(events) { [weak self] message in self?.heard(message) },
                    loop: loop, logger: silent))
        }
    }

    deinit {
        let watches = watches
        loop.execute { for watch in watches { watch.close() } }
    }

    /// This connection wants to hear when there is a new primary.
    func add(_ core: ConnectionCore) {
        loop.execute { [self, core = Follower(core: core)] in
            followers.removeAll { $0.core == nil }
            followers.append(core)
        }
    }

    /// Asks who the primary is. The answer comes on the loop.
    func findPrimary(
        _ completion: @escaping @Sendable (Result<RedisConfiguration.Address, RedisError>) -> Void
    ) {
        loop.execute { [self] in
            if !isWatching {
                isWatching = true
                for watch in watches { watch.start() }
            }
            askers.append(completion)
            guard !isAsking else { return }
            isAsking = true
            Task(executorPreference: loop) { [self] in
                let answer = await ask()
                loop.execute { [self] in
                    isAsking = false
                    let waiting = askers
                    askers = []
                    for asker in waiting { asker(answer) }
                }
            }
        }
    }

    /// One question to as many sentinels as it takes. Runs on the loop.
    private func ask() async -> Result<RedisConfiguration.Address, RedisError> {
        var reasons: [String] = []
        for sentinel in sentinels {
            do throws(RedisError) {
                let reply = try await sentinel.send(RedisCommand("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name))
                guard let parts = reply.array, parts.count == 2, let host = parts[0].string,
                    let port = parts[1].integer
                else {
                    reasons.append("\(sentinel.configuration.displayName) knows no primary '\(name)'")
                    continue
                }
                if let position = sentinels.firstIndex(where: { $0 === sentinel }) {
                    sentinels.insert(sentinels.remove(at: position), at: 0)
                }
                return .success(.tcp(host: host, port: port))
            } catch {
                reasons.append(error.message)
            }
        }
        return .failure(RedisError(.connectionFailed, reasons.joined(separator: "; ")))
    }

    /// A sentinel says that it listens now (something may have been missed), or that a primary has changed.
    private func heard(_ message: RedisReplies) {
        let parts = message[0].array?.map { $0.string ?? "" } ?? []
        let isNews = parts.first == "subscribe" || (parts.count == 3 && parts[2].hasPrefix(name + " "))
        guard isNews else { return }
        findPrimary { [weak self] answer in
            guard let self, case .success(let primary) = answer else { return }
            for follower in followers { follower.core?.primaryMoved(to: primary) }
        }
    }
}
