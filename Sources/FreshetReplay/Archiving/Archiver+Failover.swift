internal import Freshet
internal import Hiredis

extension Archiver {
    /// Whether a log has another history than the one that is archived: by its numbers, or because the archive's last entry
    /// is not in it, and was neither cut off nor deleted.
    func isAnother(_ info: StreamInfo, _ partition: Int) async throws -> Bool {
        guard let last = manifests[partition].segments.last, settled[partition] != info.lastGeneratedID else {
            return false
        }
        if info.lastGeneratedID < last.last { return true }
        guard let added = info.entriesAdded else { return false }
        if added < last.added { return true }
        guard let first = info.firstID, topic.kind != .queue else { return false }
        if first > last.last { return info.length > added - last.added }
        guard info.lastGeneratedID > last.last, info.newestDeletedID.map({ $0 < last.last }) ?? false else {
            return false
        }
        let key = broker.keys(topic.name, partition).events
        guard try await broker.client.send(.xrange(key, last.last...last.last)).isEmpty else { return false }
        // Unless retention came to it a moment ago.
        return try await broker.streamInfo(key)?.firstID.map { $0 <= last.last } ?? false
    }

    /// Goes on after a failover, or after a crash that cost the log its last entries: from here on the server's own numbers
    /// count. Throws `refused` for a log that has nothing of the archive.
    func settle(_ info: StreamInfo, _ partition: Int, _ report: inout ArchiveReport) async throws {
        var manifest = manifests[partition]
        let (key, end) = (broker.keys(topic.name, partition).events, manifest.last ?? .zero)
        guard let (common, lost) = try await lastCommon(info, partition) else {
            throw ArchiveError(
                .refused,
                "\(key) was made anew: it has nothing in common with the archive, which ends at \(end). Archive it to another "
                    + "folder, or restore it from this one")
        }
        let (placed, clashes) = try await placeLate(behind: common, through: end, partition)
        if let added = info.entriesAdded {
            let now =
                added
                - (try await LogPages.count(key, behind: end, through: info.lastGeneratedID, on: broker))
            manifest = manifests[partition]
            manifest.amendLast(added: now, missing: 0)
            try await lock.renew(force: true)
            try manifest.save("\(folder)/\(partition)")
            manifests[partition] = manifest
        }
        settled[partition] = info.lastGeneratedID
        report.notes.append(
            "the log of '\(topic.name)' partition \(partition) is not the one that was archived last (a failover, or a crash): "
                + "\(lost) events up to \(end) are in the archive only")
        if placed > 0 {
            report.notes.append(
                "\(placed) events of '\(topic.name)' partition \(partition) were given ids between \(common) and \(end) since: they "
                    + "were archived among those that the archive had")
        }
        if clashes > 0 {
            report.missing += clashes
            report.notes.append(
                "\(clashes) events of '\(topic.name)' partition \(partition) have ids under which the archive has others: they are in "
                    + "the log only")
        }
    }

    /// Archives what the log was given since among entries that the archive has: a clock that is behind gives
    /// out such ids. A retention that waits for the archive goes by the newest id of it, and would cut them
    /// off. Returns how many there are, and how many more have the id of another entry.
    private func placeLate(behind common: StreamID, through end: StreamID, _ partition: Int) async throws
        -> (placed: Int, clashes: Int)
    {
        let place = "\(folder)/\(partition)"
        var (late, pages) = (
            [StreamEntry](),
            LogPages(broker.keys(topic.name, partition).events, in: common...end, on: broker, segment: .max)
        )
        while let page = try await pages.next() { late += page }
        guard !late.isEmpty else { return (0, 0) }
        var manifest = manifests[partition]
        let replaced = manifest.segments.filter { $0.last > common }
        let writer = try SegmentWriter("\(place)/\(manifest.nextFile)", compressor: compressor)
        var (rest, placed, clashes) = (late[...], 0, 0)
        for segment in replaced {
            var reader = try SegmentReader(segment.contents, in: place)
            while let page = try reader.nextPage() {
                try await lock.renew()
                var merged: [StreamEntry] = []
                for entry in page {
                    while let first = rest.first, first.id < entry.id {
                        merged.append(rest.removeFirst())
                        placed += 1
                    }
                    if let first = rest.first, first.id == entry.id {
                        if !first.hasSameFields(as: entry) { clashes += 1 }
                        rest.removeFirst()
                    }
                    merged.append(entry)
                }
                try writer.append(merged)
            }
        }
        let contents = try writer.finish()
        // What no manifest names goes at the end of the pass.
        guard placed > 0 else { return (0, clashes) }
        var reader = try SegmentReader(contents, in: place)
        try reader.checkFrame()
        try ArchiveStorage.syncFolder(place)
        try await lock.renew(force: true)
        manifest.replaceLast(replaced.count, with: contents)
        try manifest.save(place)
        manifests[partition] = manifest
        return (placed, clashes)
    }

    /// The newest entry that both have, and how many entries the archive has behind it.
    private func lastCommon(_ info: StreamInfo, _ partition: Int) async throws -> (id: StreamID, lost: Int)? {
        guard let first = info.firstID, let top = info.lastID else { return nil }
        let key = broker.keys(topic.name, partition).events
        var lost = 0
        for segment in manifests[partition].segments.reversed() where segment.last >= first {
            if segment.first > top {
                lost += segment.count
                continue
            }
            var reader = try SegmentReader(segment.contents, in: "\(folder)/\(partition)")
            var (common, behind): (StreamID?, Int) = (nil, 0)
            while let page = try reader.nextPage() {
                try await lock.renew()
                behind += page.count
                guard let low = page.first?.id, let high = page.last?.id, low <= top, high >= first else {
                    continue
                }
                let live = Dictionary(
                    try await broker.client.send(.xrange(key, low...high)).map { ($0.id, $0) },
                    uniquingKeysWith: { first, _ in first })
                guard let index = page.lastIndex(where: { live[$0.id]?.hasSameFields(as: $0) ?? false })
                else {
                    continue
                }
                (common, behind) = (page[index].id, page.count - index - 1)
            }
            lost += behind
            if let common { return (common, lost) }
        }
        return nil
    }
}
