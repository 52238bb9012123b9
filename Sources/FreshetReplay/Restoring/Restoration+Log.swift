internal import Freshet
internal import Hiredis

extension Restoration {
    /// What restoring a log has learnt.
    struct RestoredLog {
        /// How many entries it has.
        var count = 0
        /// Whether that is all that the archive has.
        var isWhole = true
        /// How many entries came behind what the log had given out when the archive last looked at the topic.
        var later = 0
        /// How many entries stand behind each group's position.
        var behind: [Int]
    }

    func restoreLog(_ number: Int, _ onProgress: (Int) -> Bool) async throws -> RestoredLog {
        let key = broker.keys(topic, number).events
        let known = state.partitions[number]
        let positions = known.groups.map(\.position)
        let seen = known.log?.lastGeneratedID ?? .zero
        let there = isResumed ? try await broker.streamInfo(key)?.lastID ?? .zero : .zero
        var end = there
        var restored = RestoredLog(behind: positions.map { _ in 0 })
        let folder = archive.path(broker.namespace, topic, number)
        var under: Task<Void, any Error>?
        for segment in manifests[number].segments {
            var reader = try SegmentReader(segment.contents, in: folder)
            while let page = try reader.nextPage() {
                let own = page.filter { $0.id > there }
                if own.count < page.count {
                    try await compare(page.filter { $0.id <= there }, with: key)
                }
                // The next page is read and decompressed while this one is on its way.
                try await under?.value
                under = own.isEmpty ? nil : send(own, to: key, behind: end)
                end = own.last?.id ?? end
                for (index, position) in positions.enumerated() {
                    restored.behind[index] += Self.count(page, after: position)
                }
                restored.later += Self.count(page, after: seen)
                restored.count += page.count
                guard onProgress(restored.count) else {
                    try await under?.value
                    restored.isWhole = false
                    return restored
                }
            }
        }
        try await under?.value
        try await setNumbers(key, known, restored)
        return restored
    }

    private func send(_ entries: [StreamEntry], to key: String, behind last: StreamID) -> Task<
        Void, any Error
    > {
        let client = broker.client
        return Task { try await ExactAppend.add(entries, to: key, behind: last, on: client) }
    }

    private static func count(_ page: [StreamEntry], after position: StreamID) -> Int {
        guard let last = page.last, last.id > position else { return 0 }
        return page.reduce(0) { $1.id > position ? $0 + 1 : $0 }
    }

    /// What a killed restoration has left.
    private func compare(_ page: [StreamEntry], with key: String) async throws {
        guard let first = page.first?.id, let last = page.last?.id else { return }
        let live = try await broker.client.send(.xrange(key, first...last))
        let isSame =
            live.count == page.count
            && zip(live, page).allSatisfy { $0.id == $1.id && $0.hasSameFields(as: $1) }
        guard isSame else {
            throw ArchiveError(
                .refused,
                "\(key) has other entries between \(first) and \(last) than the archive: delete it first")
        }
    }

    /// The log's own numbers, where the server has them (Redis 7): what it was given, and what was deleted.
    private func setNumbers(_ key: String, _ known: ArchivedTopic.Partition, _ restored: RestoredLog)
        async throws
    {
        guard let log = known.log else { return }
        // A restoration that goes on may find what was published meanwhile: numbers never go back.
        let there = isResumed ? try await broker.streamInfo(key) : nil
        let given = there?.lastGeneratedID ?? .zero
        if restored.count == 0 {
            // A log whose entries are all gone: made by an entry that goes again.
            guard log.lastGeneratedID > .zero else { return }
            if given < log.lastGeneratedID {
                var pipeline = RedisPipeline()
                pipeline.append("XADD", key, "MAXLEN", 0, log.lastGeneratedID, "restored", "1")
                for reply in try await broker.client.send(pipeline) { try reply.get() }
            }
        }
        let end = manifests[partition(of: key)].last ?? .zero
        let last = max(log.lastGeneratedID, end, given)
        var arguments: [any RedisArgument] = ["XSETID", key, last]
        if let deleted = log.maxDeletedID, log.entriesAdded != nil {
            let beyond = try await LogPages.count(key, behind: end, through: given, on: broker)
            let added = max(added(known, restored) + beyond, there?.entriesAdded ?? 0)
            arguments += [
                "ENTRIESADDED", added, "MAXDELETEDID", max(deleted, there?.newestDeletedID ?? .zero),
            ]
        }
        do throws(RedisError) {
            _ = try await broker.client.send(RedisCommand(arguments: arguments))
        } catch  where arguments.count > 3 && error.message.lowercased().contains("syntax") {
            _ = try await broker.client.send(RedisCommand("XSETID", key, last))
        } catch { throw FreshetError(error) }
    }

    /// How many entries the log was ever given.
    func added(_ known: ArchivedTopic.Partition, _ restored: RestoredLog) -> Int {
        max(restored.count, (known.log?.entriesAdded ?? 0) + restored.later)
    }

    private func partition(of key: String) -> Int {
        partitions.indices.first { broker.keys(topic, $0).events == key } ?? 0
    }
}
