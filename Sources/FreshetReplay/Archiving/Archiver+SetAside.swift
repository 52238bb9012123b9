internal import Freshet
internal import Hiredis

// What stands beside a partition's log, each kind in a file of its own that is named after what it holds: the one that
// `topic.json` names stays until another is named.
extension Archiver {
    /// Archives what groups have set aside of a partition; what has not changed since the last pass stays as it is.
    func setAside(_ partition: Int, _ groups: [GroupName]) async throws -> [ArchivedTopic.SetAsideFile] {
        var files: [ArchivedTopic.SetAsideFile] = []
        for group in groups {
            for kind in SetAside.allCases {
                let key = broker.keys(topic.name, partition).setAside(kind, group)
                guard let info = try await broker.streamInfo(key), info.length > 0 else { continue }
                let log = ArchivedTopic.Log(info)
                let same = before(partition)?.setAside.first {
                    $0.group == group && $0.kind == kind.rawValue && $0.log == log
                }
                if let same {
                    files.append(same)
                    continue
                }
                var source = LogPages(
                    key, in: .zero...info.lastGeneratedID, on: broker, segment: .max)
                let name = (try? GroupName(checking: group.rawValue)) == nil ? "group" : group.rawValue
                // Nil when it was emptied in the meantime.
                if let contents = try await file("\(kind)-\(name)", partition, { try await source.next() }) {
                    files.append(ArchivedTopic.SetAsideFile(group, kind, contents, log))
                }
            }
        }
        return files
    }

    /// Archives the events of a partition that are published later: the moment, and the member of the sorted set as it is.
    func scheduled(_ partition: Int) async throws -> SegmentContents? {
        let key = broker.keys(topic.name, partition).scheduled
        guard try await broker.client.send(RedisCommand("EXISTS", key)).integer == 1 else { return nil }
        var (cursor, count): (String?, UInt64) = ("0", 0)
        return try await file("scheduled", partition) {
            while let from = cursor {
                // ZSCAN gives all that are there from the beginning to the end, some of them twice.
                let reply = try await broker.client.send(RedisCommand("ZSCAN", key, from, "COUNT", 500))
                guard let parts = reply.array.map(Array.init), parts.count == 2,
                    let texts = parts[1].array.map(Array.init)
                else { throw FreshetError(RedisError(.unexpectedReply, "a scan of another shape")) }
                cursor = parts[0].string.flatMap { $0 == "0" ? nil : $0 }
                let page = stride(from: 0, to: texts.count - 1, by: 2).map { index in
                    count += 1
                    let fields = [texts[index + 1].bytes?.array ?? [], texts[index].bytes?.array ?? []]
                    return StreamEntry(
                        id: StreamID(milliseconds: count, sequence: 0),
                        fields: RedisReplies(
                            textLengths: fields.map(\.count), bytes: fields.flatMap { $0 }))
                }
                if !page.isEmpty { return page }
            }
            return nil
        }
    }

    func before(_ partition: Int) -> ArchivedTopic.Partition? {
        known.flatMap { partition < $0.partitions.count ? $0.partitions[partition] : nil }
    }

    /// Writes what `next` gives into a file; nil when that is nothing.
    private func file(
        _ name: String, _ partition: Int, _ next: () async throws -> [StreamEntry]?
    ) async throws -> SegmentContents? {
        let place = "\(folder)/\(partition)"
        let writer = try SegmentWriter("\(place)/set-aside.tmp", compressor: compressor)
        while let page = try await next() {
            try writer.append(page)
            try await lock.renew()
        }
        let own = try writer.finish()
        guard own.count > 0 else { return nil }
        let file = "\(name)-\(own.sha256.prefix(16)).ndjson.zst"
        try ArchiveStorage.rename("\(place)/set-aside.tmp", to: "\(place)/\(file)")
        return SegmentContents(
            file: file, count: own.count, first: own.first, last: own.last, bytes: own.bytes,
            fileBytes: own.fileBytes, sha256: own.sha256)
    }
}
