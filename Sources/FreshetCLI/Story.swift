internal import Freshet
internal import Hiredis

/// Events in causal order: each behind its cause, those of one cause in the order in which they were added.
struct Story {
    /// An event in it.
    struct Line {
        let found: StoryEvent
        /// How many causes stand above it.
        let depth: Int
        /// Whether it is the last one of its cause.
        let isLast: Bool
        /// How long after its cause it was added, by the server's clock; nil when its cause is not there.
        let secondsAfterCause: Double?
        /// Whether that stands out among the story's events.
        var isLongWait = false
        /// Whether an event with its name stands above: it was published twice.
        var isRepeated = false
        /// What became of it, by group.
        var states: [EventState] = []

        /// It names a cause that is not there.
        var lacksCause: Bool { secondsAfterCause == nil && found.event.causationID != nil }
    }

    private(set) var lines: [Line] = []
    /// The first events of stories that are not there, though others name them.
    private(set) var missingFirst: [String] = []

    init(_ events: [StoryEvent]) {
        var first: [String: Int] = [:]
        for (index, found) in events.enumerated() where first[found.event.id] == nil {
            first[found.event.id] = index
        }
        var children: [Int: [Int]] = [:]
        var roots: [Int] = []
        for (index, found) in events.enumerated() {
            if let cause = found.event.causationID.flatMap({ first[$0] }), cause != index {
                children[cause, default: []].append(index)
            } else {
                roots.append(index)
            }
        }
        var seen: Set<Int> = []
        func add(_ index: Int, _ depth: Int, _ isLast: Bool, _ cause: StoryEvent?) {
            guard seen.insert(index).inserted else { return }
            let found = events[index]
            let after = cause.map { cause in
                (Double(found.place.position.milliseconds) - Double(cause.place.position.milliseconds)) / 1000
            }
            var line = Line(found: found, depth: depth, isLast: isLast, secondsAfterCause: after)
            line.isRepeated = first[found.event.id] != index
            lines.append(line)
            let own = line.isRepeated ? [] : children[index] ?? []
            for child in own { add(child, depth + 1, child == own.last, found) }
        }
        for root in roots { add(root, 0, true, nil) }
        // Events that cause each other, which no program of ours makes.
        for index in events.indices { add(index, 0, true, nil) }
        markLongWaits()
        for story in events.map(\.story) where first[story] == nil && !missingFirst.contains(story) {
            missingFirst.append(story)
        }
    }

    mutating func setStates(_ states: [TopicName: [EventPlace: [EventState]]]) {
        for index in lines.indices {
            let found = lines[index].found
            lines[index].states = (states[found.topic.name]?[found.place] ?? []).sorted {
                $0.group < $1.group
            }
        }
    }

    /// From a second on, and five times the median of the story; from a minute on in any case.
    private mutating func markLongWaits() {
        let waits = lines.compactMap(\.secondsAfterCause).sorted()
        guard !waits.isEmpty else { return }
        let median = waits[(waits.count - 1) / 2]
        for index in lines.indices {
            guard let wait = lines[index].secondsAfterCause else { continue }
            lines[index].isLongWait = wait >= 60 || wait >= 1 && wait >= 5 * median
        }
    }
}
