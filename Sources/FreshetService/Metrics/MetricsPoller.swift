package import Freshet
package import FreshetRecords
package import Logging
internal import ServiceLifecycle

/// Looks every few seconds at what the process's groups, or all groups, have to do, and says it as gauges.
package struct MetricsPoller: Service {
    /// Which groups are looked at.
    package enum Scope: Sendable {
        /// Those of these subscriptions.
        case subscriptions([Subscription])
        /// All of the namespace. Which there are is asked once a minute: that goes through all keys of the server.
        case namespace
    }

    private let broker: Broker
    private let scope: Scope
    private let records: ServiceRecords?
    private let interval: Duration
    private let logger: Logger

    /// A poller.
    ///
    /// - Parameters:
    ///   - records: whose outbox is looked at.
    ///   - interval: from one look to the next; a tenth more or less, so that replicas do not all look at once.
    package init(
        _ scope: Scope, on broker: Broker, records: ServiceRecords? = nil,
        every interval: Duration = .seconds(5),
        logger: Logger
    ) {
        self.broker = broker
        self.scope = scope
        self.records = records
        self.interval = interval
        self.logger = logger
    }

    /// Looks until graceful shutdown or cancellation; then the gauges are gone. Never throws.
    package func run() async throws {
        await cancelWhenGracefulShutdown { await self.lookRepeatedly() }
    }

    private func lookRepeatedly() async {
        var board = GaugeBoard(broker, records: records, logger: logger)
        var targets: [GaugeBoard.Target]?
        var listedAt: ContinuousClock.Instant?
        while !Task.isCancelled {
            if listedAt.map({ $0 + .seconds(60) <= .now }) ?? true {
                targets = try? await self.targets()
                listedAt = targets == nil ? nil : .now
            }
            await board.look(at: targets)
            try? await Task.sleep(for: interval * Double.random(in: 0.9...1.1))
        }
        board.fade()
    }

    /// Looks once.
    package func look() async throws {
        var board = GaugeBoard(broker, records: records, logger: logger)
        guard await board.look(at: try await targets()) else {
            throw ToolError(.failed, "not everything could be looked at (see the log)")
        }
    }

    private func targets() async throws -> [GaugeBoard.Target] {
        switch scope {
        case .subscriptions(let subscriptions):
            return Set(subscriptions.map { GaugeBoard.Target(topic: $0.topic, group: $0.group) }).sorted {
                ($0.topic.name.rawValue, $0.group.rawValue) < ($1.topic.name.rawValue, $1.group.rawValue)
            }
        case .namespace:
            var targets: [GaugeBoard.Target] = []
            for topic in try await broker.topics() {
                targets += try await broker.groups(of: topic).map { .init(topic: topic, group: $0) }
            }
            return targets
        }
    }
}
