internal import Freshet
internal import Metrics
package import ServiceLifecycle

extension Worker {
    /// Has this process's metrics counted, and says them; nil when the program has brought a backend of its own.
    static func metricsText(of service: String, _ health: Health) -> (@Sendable () async -> String)? {
        guard let metrics = PrometheusMetrics.bootstrap() else { return nil }
        let process = ProcessMetrics(service: service, in: metrics)
        return {
            process.isReady(await health.checks(for: .ready).allSatisfy { $0.failure == nil })
            return metrics.text()
        }
    }

    /// What looks at what there is to do for the subscriptions among these services and in the outbox; nothing when nobody
    /// listens to metrics.
    package func polling(_ services: [any Service]) -> [any Service] {
        guard !(MetricsSystem.factory is NOOPMetricsHandler) else { return [] }
        return [
            MetricsPoller(
                .subscriptions(services.compactMap { $0 as? Subscription }), on: broker, records: records,
                logger: logger)
        ]
    }
}
