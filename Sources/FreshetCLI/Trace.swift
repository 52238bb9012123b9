internal import ArgumentParser
internal import Freshet
internal import FreshetReplay
internal import FreshetService
internal import Hiredis

/// `freshet trace`
struct Trace: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Prints one story across all topics in causal order, and what became of each event.",
        discussion: """
            WHAT is the id of an event, the correlation id of a story, or a key: an event's partition key, its subject, or the \
            member of its payload that --member names.

            Each event stands below its cause. 'after' is how long after its cause it was added to its log. For each group it \
            says settled, waiting (not taken yet), pending (taken by a consumer), delayed (waits for its next attempt), dead, \
            invalid, or before (the group began later). Below stand what is open, waits that stand out, and gaps: events that \
            others name and that are not there.

            A key is looked for in its own partition of each topic, from --since on (24h unless said otherwise; the id of an event \
            mostly says since when). The other events of the story are looked for in all partitions from its first event on; \
            --same-key looks only where events with its keys stand, which is quicker.

            Exit codes: 0 found, 1 not found, 2 too long to be shown whole.

            Examples:
              freshet trace order-17 --namespace shop
              freshet trace 0196a2c0-5f3e-7a51-8f0e-2d1c9a6b7e10 --since 7d
              freshet trace order-17 --format json | jq '.events[].groups'
            """)

    @Argument(help: "An event's id, a correlation id, or a key.") var what: String
    @Option(help: "From where to look: \(ReplayPoint.forms).", transform: ReplayPoint.parsing) var since:
        ReplayPoint?
    @Option(help: "Only these topics.") var topic: [TopicName] = []
    @Option(help: "The member of payloads that holds the key.") var member = "orderId"
    @Flag(help: "Only where events with the same keys stand.") var sameKey = false
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if what.isEmpty { throw ValidationError("WHAT is an event's id, a correlation id, or a key") }
    }

    func run() async throws {
        try await connection.withBroker { broker in
            var topics: [Topic] = []
            for name in topic { topics.append(try await broker.existingTopic(name)) }
            if topics.isEmpty { topics = try await broker.topics() }
            let now = try await broker.serverTime()
            let back = ReplayPoint.back(milliseconds: 86_400_000)
            let start =
                since?.lowerBound(now: now) ?? MomentOfID.start(of: what) ?? back.lowerBound(now: now)
            var finder = StoryFinder(broker, topics, what, member: member, start: start, sameKey: sameKey)
            let events = try await finder.find()
            guard !events.isEmpty else {
                let since = Timestamp(milliseconds: Int64(clamping: start.milliseconds))
                throw ToolError(
                    .failed,
                    "no event of '\(what)' in the namespace '\(broker.namespace)' since \(since) (--since looks further back)"
                )
            }
            var story = Story(events)
            story.setStates(try await states(of: events, broker))
            try StoryReport(story, of: what, namespace: broker.namespace).show(output)
            guard finder.isCut else { return }
            StandardError.write(
                "freshet: the story has more than \(StoryFinder.most) events; the rest is left out")
            throw ExitCode(ExitStatus.partlyDone.rawValue)
        }
    }

    private func states(of events: [StoryEvent], _ broker: Broker) async throws
        -> [TopicName: [EventPlace: [EventState]]]
    {
        var all: [TopicName: [EventPlace: [EventState]]] = [:]
        for topic in Set(events.map(\.topic)) {
            let own = Dictionary(
                events.filter { $0.topic == topic }.map { ($0.place, $0.event.type) },
                uniquingKeysWith: { $1 })
            for group in try await broker.groups(of: topic) {
                for (place, state) in try await broker.states(of: own, topic: topic, group: group) {
                    all[topic.name, default: [:]][place, default: []].append(state)
                }
            }
        }
        return all
    }
}
