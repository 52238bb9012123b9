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
        var unplaced = try await LogPages.count(key, behind: common, through: end, on: broker)
        if let added = info.entriesAdded {
            let now =
                added
                - (try await LogPages.count(key, behind: end, through: info.lastGeneratedID, on: broker))
            let before = manifest.segments.last?.added ?? 0
            // Those up to there were counted when this was settled the first time.
            if now >= before { unplaced = min(unplaced, now - before) }
            manifest.amendLast(added: now, missing: unplaced)
            try await lock.renew(force: true)
            try manifest.save("\(folder)/\(partition)")
            manifests[partition] = manifest
        }
        settled[partition] = info.lastGeneratedID
        report.missing += unplaced
        report.notes.append(
            "the log of '\(topic.name)' partition \(partition) is not the one that was archived last (a failover, or a crash): "
                + "\(lost) events up to \(end) are in the archive only")
        if unplaced > 0 {
            report.notes.append(
                "\(unplaced) events of '\(topic.name)' partition \(partition) were given ids between \(common) and \(end), "
                    + "where the archive has others: they are in the log only")
        }
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
