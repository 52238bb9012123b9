internal import Freshet
internal import Metrics
package import ServiceLifecycle

extension Worker {
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
