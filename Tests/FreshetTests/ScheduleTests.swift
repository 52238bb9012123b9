import FreshetTesting
import Hiredis
import Testing

@testable import Freshet

/// A schedule that can stand in an expectation.
private final class Scheduled {
    private var schedule: Schedule
    init(_ ordering: Ordering, limits: OrderingLimits = OrderingLimits()) {
        schedule = Schedule(ordering, limits: limits)
    }
    func add(_ entry: HeldEntry) -> Bool { schedule.add(entry) }
    func next() -> HeldEntry? { schedule.next() }
    func finished(_ entry: HeldEntry, _ ending: Schedule.Ending) -> (deferred: [HeldEntry], fetch: KeyQueue?)
    {
        schedule.finished(entry, ending)
    }
    func unblock(partition: Int, key: String, position: StreamID) -> KeyQueue? {
        schedule.unblock(partition: partition, key: key, position: position)
    }
    func block(partition: Int, key: String, position: StreamID) {
        schedule.block(partition: partition, key: key, position: position)
    }
    func fetch(_ lane: KeyQueue) -> [KeyQueue.Deferred] { schedule.fetch(lane) }
    func fetched(_ entries: [HeldEntry], of count: Int, in lane: KeyQueue) -> KeyQueue? {
        schedule.fetched(entries, of: count, in: lane).more
    }
    func search(for queues: [KeyQueue], newest: (ReadStream) -> StreamID) -> DeferredSearch? {
        schedule.search(for: queues, newest: newest)
    }
    func searched(_ search: DeferredSearch, _ page: PendingPage?) { schedule.searched(search, page) }
    func wantsFetch(_ queue: KeyQueue) -> Bool { schedule.wantsFetch(queue) }
    func restart(_ partition: Int, keeping begun: [HeldEntry]) -> [HeldEntry] {
        schedule.restart(partition, keeping: begun)
    }
    var deferredCount: Int { schedule.deferredCounts[0, default: 0] }
    var waitingCount: Int { schedule.waitingCount }
    func drop(_ partition: Int) -> [HeldEntry] { schedule.drop(partition..<partition + 1) }
}

/// Who starts when, without a server.
@Suite struct ScheduleTests {
    private let log = ReadStream(key: "log", partition: 0, isRedelivery: false)
    private let redelivery = ReadStream(key: "redelivery", partition: 0, isRedelivery: true)

    private func entry(_ number: Int, _ key: String?, of original: Int? = nil) -> HeldEntry {
        var content = DecodedFields.unreadable
        content.event.partitionKey = key
        content.originalID = original.map { StreamID(milliseconds: UInt64($0), sequence: 0) }
        return HeldEntry(
            content, at: StreamID(milliseconds: UInt64(number), sequence: 0),
            of: original == nil ? log : redelivery, claimedUntil: .now)
    }

    private func number(_ entry: HeldEntry?) -> UInt64? { entry?.id.milliseconds }

    @Test func `without an order all start as they came`() throws {
        let schedule = Scheduled(.any)
        for number in 1...3 { #expect(schedule.add(entry(number, "k"))) }
        #expect((1...4).map { _ in number(schedule.next()) } == [1, 2, 3, nil])
    }

    @Test func `of a key one runs at a time, other keys beside it`() throws {
        let schedule = Scheduled(.perKey)
        for (number, key) in [(1, "a"), (2, "a"), (3, "b"), (4, nil), (5, nil)] {
            #expect(schedule.add(entry(number, key)))
        }
        let first = try #require(schedule.next())
        #expect(first.id.milliseconds == 1)
        #expect((1...4).map { _ in number(schedule.next()) } == [3, 4, 5, nil])
        #expect(schedule.finished(first, .over).fetch == nil)
        #expect(number(schedule.next()) == 2)
    }

    @Test func `a key that waits for its retry holds back its own events alone`() throws {
        let schedule = Scheduled(.perKey)
        for (number, key) in [(1, "a"), (2, "a"), (3, "a"), (4, "b")] {
            #expect(schedule.add(entry(number, key)))
        }
        let first = try #require(schedule.next())
        let deferred = schedule.finished(first, .comesBack).deferred
        #expect(Set(deferred.map(\.id.milliseconds)) == [2, 3])
        #expect(number(schedule.next()) == 4)
        #expect(!schedule.add(entry(5, "a")), "what comes for the key is deferred")
        #expect(schedule.next() == nil)
        // A replay of an earlier event of the key waits as well.
        #expect(!schedule.add(entry(100, "a", of: 0)))
        let retry = entry(101, "a", of: 1)
        #expect(schedule.add(retry))
        #expect(schedule.next() === retry)
        let lane = try #require(schedule.finished(retry, .over).fetch)
        let wanted = schedule.fetch(lane)
        #expect(wanted.map(\.id.milliseconds) == [2, 3, 5, 100])
        #expect(!schedule.add(entry(6, "a")), "behind what is being fetched")
        let fetched = [entry(2, "a"), entry(3, "a"), entry(5, "a"), entry(100, "a", of: 0)]
        #expect(schedule.fetched(fetched, of: 4, in: lane) == nil)
        for expected: UInt64 in [2, 3, 5, 100] {
            let next = try #require(schedule.next())
            #expect(next.id.milliseconds == expected)
            #expect(schedule.next() == nil)
            let fetch = schedule.finished(next, .over).fetch
            #expect((fetch == nil) == (expected != 100))
        }
    }

    @Test func `a slow key keeps a few events in hand and defers the rest, in order`() throws {
        let schedule = Scheduled(.perKey)
        let inHand = OrderingLimits().waitingPerKey + 1
        for number in 1...30 { #expect(schedule.add(entry(number, "a")) == (number <= inHand)) }
        var order: [UInt64] = []
        var lane: KeyQueue?
        while order.count < 30 {
            if let next = schedule.next() {
                order.append(next.id.milliseconds)
                lane = schedule.finished(next, .over).fetch
            } else {
                let wanted = schedule.fetch(try #require(lane))
                let fetched = wanted.map { entry(Int($0.id.milliseconds), "a") }
                lane = schedule.fetched(fetched, of: wanted.count, in: try #require(lane))
            }
        }
        #expect(order == Array(1...30))
    }

    @Test func `a new owner lets keys wait whose retries are on their way`() throws {
        let schedule = Scheduled(.perKey)
        schedule.block(partition: 0, key: "a", position: StreamID(milliseconds: 1, sequence: 0))
        #expect(!schedule.add(entry(2, "a")))
        #expect(schedule.add(entry(50, "a", of: 1)))
        #expect(number(schedule.next()) == 50)
        // The retry of another key was cancelled by an operator.
        schedule.block(partition: 0, key: "b", position: StreamID(milliseconds: 3, sequence: 0))
        #expect(!schedule.add(entry(4, "b")))
        let lane = schedule.unblock(partition: 0, key: "b", position: StreamID(milliseconds: 3, sequence: 0))
        #expect(lane.map { schedule.fetch($0).map(\.id.milliseconds) } == [4])
    }

    @Test func `a partition that is dropped leaves nothing behind`() throws {
        let schedule = Scheduled(.perKey)
        for (number, key) in [(1, "a"), (2, "a"), (3, "b"), (4, nil)] { _ = schedule.add(entry(number, key)) }
        let running = try #require(schedule.next())
        #expect(Set(schedule.drop(0).map(\.id.milliseconds)) == [2, 3, 4])
        #expect(schedule.next() == nil)
        // The same key under the next tenure: what ran under the last one changes nothing.
        #expect(schedule.add(entry(1, "a")) && schedule.add(entry(2, "a")))
        _ = schedule.finished(running, .over)
        #expect(number(schedule.next()) == 1)
        #expect(schedule.next() == nil)
    }

    @Test func `random histories keep each key in order and lose nothing`() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = Seeded(seed)
        for _ in 0..<200 {
            let schedule = Scheduled(.perKey)
            let keys = (0..<60).map { _ in ["a", "b", "c"][Int(random.next() % 3)] }
            var (done, running, back): ([Int], [HeldEntry], [HeldEntry]) = ([], [], [])
            var lanes: [KeyQueue] = []
            var (next, redelivered) = (0, 1000)
            while done.count < keys.count {
                switch random.next() % 5 {
                case 0 where next < keys.count:
                    _ = schedule.add(entry(next + 1, keys[next]))
                    next += 1
                case 1: if let entry = schedule.next() { running.append(entry) }
                case 2 where !running.isEmpty:
                    let entry = running.remove(at: Int(random.next() % UInt64(running.count)))
                    if random.next() % 4 == 0 {
                        _ = schedule.finished(entry, .comesBack)
                        back.append(entry)
                    } else {
                        done.append(Int(entry.logPosition.milliseconds))
                        if let lane = schedule.finished(entry, .over).fetch { lanes.append(lane) }
                    }
                case 3 where !back.isEmpty:
                    let failed = back.remove(at: Int(random.next() % UInt64(back.count)))
                    redelivered += 1
                    _ = schedule.add(
                        entry(
                            redelivered, failed.content.event.partitionKey,
                            of: Int(failed.logPosition.milliseconds)))
                case 4 where !lanes.isEmpty:
                    let lane = lanes.removeFirst()
                    let wanted = schedule.fetch(lane)
                    let found = wanted.map { entry(Int($0.id.milliseconds), lane.key) }
                    if let more = schedule.fetched(found, of: wanted.count, in: lane) { lanes.append(more) }
                default: break
                }
                let busy = running.compactMap(\.content.event.partitionKey)
                try #require(Set(busy).count == busy.count, "one of a key at a time, seed \(seed)")
            }
            for key in ["a", "b", "c"] {
                let order = done.filter { keys[$0 - 1] == key }
                try #require(order == order.sorted(), "seed \(seed)")
            }
            try #require(done.sorted() == Array(1...60), "seed \(seed)")
        }
    }

    @Test func `a retry that comes before an earlier one of its key takes its place in the order`() throws {
        let schedule = Scheduled(.perKey)
        for position in [1, 2] as [UInt64] {
            schedule.block(partition: 0, key: "a", position: StreamID(milliseconds: position, sequence: 0))
        }
        #expect(!schedule.add(entry(3, "a")))
        #expect(!schedule.add(entry(100, "a", of: 2)), "the first one has not come yet")
        let first = entry(101, "a", of: 1)
        #expect(schedule.add(first))
        #expect(schedule.next() === first)
        let queue = try #require(schedule.finished(first, .over).fetch)
        #expect(schedule.fetch(queue).map(\.id.milliseconds) == [100, 3])
    }

    @Test func `beginning anew keeps what runs and what is being put off, and forgets the rest`() throws {
        let schedule = Scheduled(.perKey)
        for (number, key) in [(1, "a"), (2, "a"), (3, "b"), (4, "b"), (5, "c")] {
            #expect(schedule.add(entry(number, key)))
        }
        let (running, failed) = (try #require(schedule.next()), try #require(schedule.next()))
        running.stage = .running
        _ = schedule.finished(failed, .comesBack)
        failed.stage = .comingBack
        #expect(Set(schedule.restart(0, keeping: [running, failed]).map(\.id.milliseconds)) == [2, 5])
        #expect(schedule.next() == nil)
        #expect(schedule.waitingCount == 0 && schedule.deferredCount == 0)
        // They are taken up again, in order.
        #expect(schedule.add(entry(2, "a")), "behind the one that runs")
        #expect(!schedule.add(entry(4, "b")), "behind the retry")
        #expect(schedule.add(entry(5, "c")))
        #expect((1...2).map { _ in number(schedule.next()) } == [5, nil])
        #expect(schedule.finished(running, .over).fetch == nil)
        #expect(number(schedule.next()) == 2)
    }

    @Test func `random histories beyond every limit keep each key in order and lose nothing`() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = Seeded(seed)
        var limits = OrderingLimits()
        (limits.waitingPerKey, limits.deferred, limits.page) = (2, 6, 5)
        var (most, searches) = (0, 0)
        for _ in 0..<200 {
            let schedule = Scheduled(.perKey, limits: limits)
            let keys = (0..<150).map { _ in ["a", "a", "a", "b", "c"][Int(random.next() % 5)] }
            var (done, running, back): ([Int], [HeldEntry], [HeldEntry]) = ([], [], [])
            var wanting: [KeyQueue] = []
            var searching: (search: DeferredSearch, queues: [KeyQueue])?
            // The numbers of what is pending: those of the redelivery stream are over 1000.
            var (pending, originals) = ([Int](), [Int: Int]())
            var (next, redelivered, replays) = (0, 1000, 0)
            func id(_ number: Int) -> StreamID { StreamID(milliseconds: UInt64(number), sequence: 0) }
            func again(_ number: Int, _ key: String) -> HeldEntry {
                entry(number, key, of: originals[number])
            }
            while done.count < keys.count + replays {
                switch random.next() % 8 {
                case 0, 5:
                    guard next < keys.count else { break }
                    _ = schedule.add(entry(next + 1, keys[next]))
                    pending.append(next + 1)
                    next += 1
                case 1: if let entry = schedule.next() { running.append(entry) }
                case 2 where !running.isEmpty:
                    let entry = running.remove(at: Int(random.next() % UInt64(running.count)))
                    pending.removeAll { id($0) == entry.id }
                    if random.next() % 4 == 0 {
                        _ = schedule.finished(entry, .comesBack)
                        back.append(entry)
                    } else {
                        done.append(Int(entry.logPosition.milliseconds))
                        if let queue = schedule.finished(entry, .over).fetch { wanting.append(queue) }
                    }
                case 3 where !back.isEmpty:
                    let failed = back.remove(at: Int(random.next() % UInt64(back.count)))
                    redelivered += 1
                    originals[redelivered] = Int(failed.logPosition.milliseconds)
                    pending.append(redelivered)
                    _ = schedule.add(again(redelivered, failed.content.event.partitionKey ?? ""))
                case 6 where replays < 40 && !done.isEmpty:
                    // A replay of what is done.
                    let position = done[Int(random.next() % UInt64(done.count))]
                    (redelivered, replays) = (redelivered + 1, replays + 1)
                    originals[redelivered] = position
                    pending.append(redelivered)
                    _ = schedule.add(again(redelivered, keys[position - 1]))
                case 4 where !wanting.isEmpty && searching == nil:
                    let queues = wanting
                    wanting = []
                    for queue in queues {
                        let wanted = schedule.fetch(queue)
                        guard !wanted.isEmpty else { continue }
                        let found = wanted.map { again(Int($0.id.milliseconds), queue.key) }
                        _ = schedule.fetched(found, of: wanted.count, in: queue)
                    }
                    let search = schedule.search(for: queues) { $0.isRedelivery ? id(redelivered) : id(next) }
                    if let search {
                        searching = (search, queues)
                    } else {
                        wanting += queues.filter(schedule.wantsFetch)
                    }
                case 7:
                    guard let (search, queues) = searching else { break }
                    searching = nil
                    searches += 1
                    let found = pending.filter {
                        ($0 > 1000) == search.stream.isRedelivery && id($0) >= search.from
                            && id($0) <= search.through
                    }.prefix(limits.page)
                    var page = PendingPage(entries: [], last: nil)
                    for number in found {
                        page.entries.append((id(number), keys[(originals[number] ?? number) - 1]))
                        if found.count == limits.page { page.last = id(number) }
                    }
                    schedule.searched(search, random.next() % 8 == 0 ? nil : page)
                    wanting += queues.filter(schedule.wantsFetch)
                default: break
                }
                most = max(most, schedule.deferredCount)
                let busy = running.compactMap(\.content.event.partitionKey)
                try #require(Set(busy).count == busy.count, "one of a key at a time, seed \(seed)")
            }
            for key in ["a", "b", "c"] {
                var seen: Set<Int> = []
                let first = done.filter { keys[$0 - 1] == key && seen.insert($0).inserted }
                try #require(first == first.sorted(), "seed \(seed)")
            }
            try #require(Set(done).count == 150, "seed \(seed)")
            try #require(schedule.deferredCount == 0 && schedule.waitingCount == 0, "seed \(seed)")
        }
        #expect(searches > 1000)
        // Of each of three keys a few more than its share, when it is hungry or its retry comes.
        #expect(most <= limits.deferred + 3 * 4 * limits.waitingPerKey, "seed \(seed)")
    }
}
