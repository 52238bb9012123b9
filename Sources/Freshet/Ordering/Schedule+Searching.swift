internal import Hiredis

/// A search of the pending list for deferred entries whose ids were not kept.
struct DeferredSearch {
    let stream: ReadStream
    let from: StreamID
    /// Up to here entries have been taken up; what comes behind is not deferred yet.
    let through: StreamID
    /// The keys that have none in memory.
    var queues: [KeyQueue] = []
}

/// A page of what a consumer holds of a stream: ids with keys, in the order of the stream.
struct PendingPage {
    var entries: [(id: StreamID, key: String?)]
    /// The last id that was looked at; nil when nothing is pending behind.
    var last: StreamID?
}

extension Schedule {
    /// The search that finds the next entries of these keys, which have none in memory; nil when none of them
    /// needs one.
    ///
    /// - Parameter newest: of a stream, the newest entry that was taken up.
    mutating func search(for queues: [KeyQueue], newest: (ReadStream) -> StreamID) -> DeferredSearch? {
        var search: DeferredSearch?
        for queue in queues where needsSearch(queue) {
            guard let (stream, overflow) = queue.nextOverflow else { continue }
            if let present = search {
                guard present.stream === stream, overflow.first < present.from else { continue }
            }
            search = DeferredSearch(stream: stream, from: overflow.first, through: newest(stream))
        }
        guard var search else { return nil }
        search.queues = queues.filter {
            needsSearch($0) && $0.partition == search.stream.partition
                && $0.nextOverflow?.stream === search.stream
        }
        for queue in search.queues { queue.isFetching = true }
        return search
    }

    private func needsSearch(_ queue: KeyQueue) -> Bool {
        !queue.isDropped && !queue.isFetching && queue.deferred.isEmpty && queue.waiting.isEmpty
            && queue.hasOverflow
    }

    /// Takes the ids that a search found, for its keys and for others that have room: the same page is not to
    /// be looked at for each of them.
    ///
    /// - Parameter page: nil when the search failed.
    mutating func searched(_ search: DeferredSearch, _ page: PendingPage?) {
        let stream = search.stream
        let wanted = search.queues.filter { !$0.isDropped }
        for queue in wanted { queue.isFetching = false }
        guard let page else { return }
        guard search.from <= search.through else {
            // Nothing of it was taken up in this process; a comparison with the pending list finds what there
            // is.
            for queue in wanted { queue[overflowOf: stream] = nil }
            return
        }
        let hungry = Set(wanted.map(ObjectIdentifier.init))
        var (full, touched) = (Set<ObjectIdentifier>(), wanted)
        for (id, key) in page.entries where id <= search.through {
            guard let key, let queue = self.queues[Place(partition: stream.partition, key: key)],
                let overflow = queue[overflowOf: stream], overflow.first <= id, overflow.first >= search.from,
                !full.contains(ObjectIdentifier(queue))
            else { continue }
            let isHungry = hungry.contains(ObjectIdentifier(queue))
            let hasRoom =
                isHungry && queue.deferred.count < limits.waitingPerKey
                || queue.blockers.isEmpty && mayRemember(queue)
            if hasRoom {
                queue.deferred.append(.init(stream: stream, id: id, position: id))
                deferredCounts[stream.partition, default: 0] += 1
                queue.advance(stream, behind: id)
                if !isHungry { touched.append(queue) }
            } else {
                queue[overflowOf: stream]?.first = id
                full.insert(ObjectIdentifier(queue))
            }
        }
        for queue in touched where !full.contains(ObjectIdentifier(queue)) {
            // What a rewind has put before the search is not of this page.
            if let overflow = queue[overflowOf: stream], overflow.first < search.from { continue }
            queue.advance(stream, behind: page.last ?? search.through)
        }
    }
}

extension KeyQueue {
    /// The stream whose overflow is searched next: retries and replays go before the log.
    fileprivate var nextOverflow: (stream: ReadStream, overflow: Overflow)? {
        for stream in [overflowStreams.redelivery, overflowStreams.log] {
            if let stream, let overflow = self[overflowOf: stream] { return (stream, overflow) }
        }
        return nil
    }

    /// Nothing of the overflow stands up to this id any more.
    fileprivate func advance(_ stream: ReadStream, behind id: StreamID) {
        guard let overflow = self[overflowOf: stream] else { return }
        if let next = id.successor, next <= overflow.last {
            self[overflowOf: stream]?.first = max(overflow.first, next)
        } else {
            self[overflowOf: stream] = nil
        }
    }
}
