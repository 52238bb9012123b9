internal import Freshet
internal import FreshetRecords
internal import FreshetReplay
internal import Logging
internal import Metrics

/// What is looked up now and then rather than counted as it happens: how groups stand, replays to them, an outbox.
///
/// A look at a group costs the server a script for each partition and three commands, whatever waits there. One that fails
/// takes the group's gauges away until one succeeds, and is counted as `freshet_poll_failures_total`, with `what`: `groups`
/// when the list of them could not be had, `group`, or `outbox`.
struct GaugeBoard {
    /// A group and the topic that it reads.
    struct Target: Hashable {
        let topic: Topic
        let group: GroupName
    }

    private let broker: Broker
    private let records: ServiceRecords?
    private let logger: Logger
    private var groups: [Target: FadingGauges] = [:]
    private var topics: [TopicName: FadingGauges] = [:]
    private let outbox = FadingGauges([])
    private let listFailures: Counter
    private let groupFailures: Counter
    private let outboxFailures: Counter?
    /// The log tells of a failure once, until a look succeeds.
    private var isFailing = false

    init(_ broker: Broker, records: ServiceRecords?, logger: Logger) {
        func failures(_ what: String) -> Counter {
            Counter(label: "freshet_poll_failures_total", dimensions: [("what", what)])
        }
        (listFailures, groupFailures) = (failures("groups"), failures("group"))
        outboxFailures = records.map { _ in failures("outbox") }
        self.broker = broker
        self.records = records
        self.logger = logger
    }

    /// Looks at these groups, and at no others any more; nil when nobody knows which there are.
    ///
    /// - Returns: whether everything was seen.
    @discardableResult
    mutating func look(at targets: [Target]?) async -> Bool {
        var failure: (any Error)?
        if let targets {
            for (target, gauges) in groups where !targets.contains(target) {
                gauges.fade()
                groups[target] = nil
            }
            for (topic, gauges) in topics where !targets.contains(where: { $0.topic.name == topic }) {
                gauges.fade()
                topics[topic] = nil
            }
            for target in targets {
                do { try await look(at: target) } catch {
                    failure = error
                    groupFailures.increment()
                    groups[target]?.fade()
                    topics[target.topic.name]?.fade()
                }
            }
        } else {
            listFailures.increment()
            fade()
        }
        do { try await lookAtOutbox() } catch {
            failure = error
            outboxFailures?.increment()
            outbox.fade()
        }
        if let failure, !isFailing {
            logger.warning(
                "cannot look at what there is to do: its metrics are gone", metadata: ["reason": "\(failure)"]
            )
        }
        isFailing = failure != nil || targets == nil
        return !isFailing
    }

    /// Nothing is known any more.
    func fade() {
        for gauges in groups.values { gauges.fade() }
        for gauges in topics.values { gauges.fade() }
        outbox.fade()
    }

    private mutating func look(at target: Target) async throws {
        let load = try await broker.load(of: target.group, on: target.topic)
        let replay = try await broker.replayUnderWay(to: target.group, on: target.topic.name)
        let topic = ("topic", target.topic.name.rawValue)
        let gauges = groups[target] ?? FadingGauges([topic, ("group", target.group.rawValue)])
        groups[target] = gauges
        gauges.show(load, replay)
        let ofTopic = topics[target.topic.name] ?? FadingGauges([topic])
        topics[target.topic.name] = ofTopic
        ofTopic.show("freshet_topic_entries", load.entries)
    }

    private func lookAtOutbox() async throws {
        guard let records else { return }
        let depth = try await records.outboxDepth()
        outbox.show("freshet_outbox_events", depth.count)
        let age = depth.oldest.map { Double(Timestamp.now().milliseconds - $0.milliseconds) / 1000 }
        outbox.show("freshet_outbox_oldest_seconds", max(0, age ?? 0))
    }
}
