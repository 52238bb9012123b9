internal import Freshet
internal import FreshetReplay
internal import Metrics

/// Gauges that are there as long as their numbers are fresh: a number that is not known any more is gone, so that none looks
/// fresh that is stale.
final class FadingGauges {
    private let labels: [(String, String)]
    private var gauges: [String: Gauge] = [:]

    init(_ labels: [(String, String)]) { self.labels = labels }

    func show(_ name: String, _ value: Double) {
        let gauge = gauges[name] ?? Gauge(label: name, dimensions: labels)
        gauges[name] = gauge
        gauge.record(value)
    }

    func show(_ name: String, _ value: Int) { show(name, Double(value)) }

    /// They are not exported any more until the next value.
    func fade() {
        for gauge in gauges.values { gauge.destroy() }
        gauges = [:]
    }
}

extension FadingGauges {
    /// How a group stands.
    func show(_ load: GroupLoad, _ replay: ReplayJob?) {
        show("freshet_group_lag", load.lag)
        show("freshet_group_lag_known", load.isLagKnown ? 1 : 0)
        show("freshet_group_pending", load.pending)
        show("freshet_group_delayed", load.delayed)
        show("freshet_group_redelivery", load.redelivery)
        show("freshet_group_dead", load.dead)
        show("freshet_group_invalid", load.invalid)
        show("freshet_group_backlog", load.backlog)
        show("freshet_group_oldest_waiting_seconds", load.oldestWaitingSeconds)
        show("freshet_group_oldest_pending_seconds", load.oldestPendingSeconds)
        show("freshet_group_oldest_dead_seconds", load.oldestDeadSeconds)
        show("freshet_group_consumers", load.consumers)
        show("freshet_group_lease_owners", load.leaseOwners)
        show("freshet_group_partitions", load.partitions)
        show("freshet_replay_running", replay == nil ? 0 : 1)
        show("freshet_replay_events", replay?.done ?? 0)
        show("freshet_replay_remaining", replay.map { max(0, $0.plan.selected.count - $0.done) } ?? 0)
    }
}
