internal import FoundationEssentials
internal import Freshet
internal import FreshetService
internal import Hiredis

/// An event of a story, and where it stands.
struct StoryEvent {
    /// Without its data.
    let event: Event
    let topic: Topic
    let place: EventPlace

    init(_ entry: StreamEntry, _ topic: Topic, _ partition: Int) throws(FreshetError) {
        var event = try entry.logEvent()
        event.data = ""
        self.event = event
        self.topic = topic
        place = EventPlace(partition: partition, position: entry.id)
    }

    /// The story that it belongs to.
    var story: String { event.correlationID ?? event.id }
}

/// Looks through the logs of a namespace for the events of a story.
///
/// What is looked for is mostly a key, and its events stand in one partition of each topic: those are looked through first, the others
/// only when nothing is there. The rest of the story can have other keys, so it is looked for everywhere, but only from the moment at
/// which the story began.
struct StoryFinder {
    /// So many events of a story are kept.
    static let most = 10_000

    let broker: Broker
    let topics: [Topic]
    /// An event's id, a story's, or a key.
    let what: String
    /// The member of a payload that can be the key.
    let member: String
    /// From where the logs are looked through.
    let start: StreamID
    /// Whether events with other keys are left out.
    let sameKey: Bool
    private(set) var progress = LookProgress()
    /// There are more events than are kept.
    private(set) var isCut = false

    init(_ broker: Broker, _ topics: [Topic], _ what: String, member: String, start: StreamID, sameKey: Bool)
    {
        self.broker = broker
        self.topics = topics
        self.what = what
        self.member = member
        self.start = start
        self.sameKey = sameKey
    }

    /// The story's events in the order in which they were added; none when there is nothing of this name.
    mutating func find() async throws -> [StoryEvent] {
        defer { progress.clear() }
        var named: [StoryEvent] = []
        let own = topics.map { ($0, [$0.partition(ofKey: what)]) }
        try await look(through: own, from: start, into: &named) { finder, entry in finder.isNamed(entry) }
        if named.isEmpty {
            let others = own.map { topic, own in (topic, (0..<topic.partitions).filter { $0 != own[0] }) }
            try await look(through: others, from: start, into: &named) { finder, entry in
                finder.isNamed(entry)
            }
        }
        guard !named.isEmpty else { return [] }
        let stories = Set(named.map(\.story))
        let keys = Set(named.compactMap(\.event.partitionKey))
        let places = topics.map { topic in
            let all = 0..<topic.partitions
            return (topic, sameKey ? Set(keys.map(topic.partition)).sorted() : Array(all))
        }
        var events: [StoryEvent] = []
        try await look(through: places, from: beginning(of: named, stories), into: &events) { _, entry in
            stories.contains(entry.field("correlationid")?.string ?? entry.field("id")?.string ?? "")
                || stories.contains(entry.field("id")?.string ?? "")
        }
        // Under the same key, and of no story that is whole: what was named is shown in any case.
        let known = Set(events.map { Seat(topic: $0.topic.name, place: $0.place) })
        events += named.filter { !known.contains(Seat(topic: $0.topic.name, place: $0.place)) }
        return events.sorted {
            ($0.place.position, $0.topic.name, $0.place.partition)
                < ($1.place.position, $1.topic.name, $1.place.partition)
        }
    }

    private struct Seat: Hashable {
        let topic: TopicName
        let place: EventPlace
    }

    /// Where the first event of the stories can stand: their ids mostly say when they were made.
    private func beginning(of named: [StoryEvent], _ stories: Set<String>) -> StreamID {
        let ids = Set(named.map(\.event.id))
        let first = named.map(\.place.position).min() ?? start
        return stories.reduce(first) { earliest, story in
            if let moment = MomentOfID.start(of: story) { return min(earliest, moment) }
            return ids.contains(story) ? earliest : min(earliest, start)
        }
    }

    private mutating func look(
        through places: [(topic: Topic, partitions: [Int])], from start: StreamID,
        into events: inout [StoryEvent],
        where isWanted: (StoryFinder, StreamEntry) -> Bool
    ) async throws {
        for (topic, partitions) in places {
            for partition in partitions {
                let log = broker.keys(topic.name, partition).events
                var pages = broker.entries(of: log, in: start ... .newest).makeAsyncIterator()
                while let page = try await pages.nextPage() {
                    for entry in page where isWanted(self, entry) {
                        // What cannot be read is no event: it has no cause and no story.
                        guard let event = try? StoryEvent(entry, topic, partition) else { continue }
                        if events.count < Self.most { events.append(event) } else { isCut = true }
                    }
                    progress.add(page.count, found: events.count)
                }
            }
        }
    }

    private func isNamed(_ entry: StreamEntry) -> Bool {
        for name in ["partitionkey", "id", "correlationid", "subject"]
        where entry.field(name)?.string == what { return true }
        guard let data = entry.field("data"), data.string.contains(what) else { return false }
        let object = try? JSONDecoder().decode([String: Member].self, from: Data(data.array))
        return object?[member]?.text == what
    }

    /// A text or a whole number; any other is none.
    private struct Member: Decodable {
        let text: String?

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            text = (try? container.decode(String.self)) ?? (try? container.decode(Int64.self)).map { "\($0)" }
        }
    }
}

/// When a UUID of version 7 was made.
enum MomentOfID {
    /// Where an event with this id can stand at the earliest, clocks a minute apart; nil for any other id.
    static func start(of id: String) -> StreamID? {
        guard let id = UUID(uuidString: id)?.uuid, id.6 >> 4 == 7 else { return nil }
        let bytes = [id.0, id.1, id.2, id.3, id.4, id.5]
        let milliseconds = bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return StreamID(milliseconds: milliseconds > 60_000 ? milliseconds - 60_000 : 0, sequence: 0)
    }
}

/// How much was looked at, on standard error when it takes long.
struct LookProgress {
    private var count = 0
    private var shownAt = ContinuousClock.now
    private var isDrawn = false

    mutating func add(_ entries: Int, found: Int) {
        count += entries
        let isTerminal = StandardError.isTerminal
        guard ContinuousClock.now - shownAt > (isTerminal ? .milliseconds(500) : .seconds(5)) else { return }
        shownAt = .now
        let text = "looked at \(count) events, found \(found)"
        if isTerminal {
            StandardError.draw(text)
            isDrawn = true
        } else {
            StandardError.write(text)
        }
    }

    mutating func clear() {
        if isDrawn { StandardError.draw("") }
        isDrawn = false
    }
}
