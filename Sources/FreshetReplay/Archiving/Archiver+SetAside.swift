internal import Freshet
internal import Hiredis

extension Archiver {
    /// Archives what groups have set aside of a partition; what has not changed since the last pass stays as it is.
    func setAside(_ partition: Int, _ groups: [GroupName]) async throws -> [ArchivedTopic.SetAsideFile] {
        let before =
            known.flatMap { partition < $0.partitions.count ? $0.partitions[partition].setAside : nil } ?? []
        var files: [ArchivedTopic.SetAsideFile] = []
        for group in groups {
            for kind in SetAside.allCases {
                let key = broker.keys(topic.name, partition).setAside(kind, group)
                guard let info = try await broker.streamInfo(key), info.length > 0 else { continue }
                let log = ArchivedTopic.Log(info)
                if let same = before.first(where: {
                    $0.group == group && $0.kind == kind.rawValue && $0.log == log
                }) {
                    files.append(same)
                    continue
                }
                let place = "\(folder)/\(partition)"
                let writer = try SegmentWriter("\(place)/set-aside.tmp", compressor: compressor)
                var source = LogPages(key, in: .zero...info.lastGeneratedID, on: broker, segment: .max)
                while let page = try await source.next() {
                    try writer.append(page)
                    try await lock.renew()
                }
                // Emptied in the meantime.
                guard writer.count > 0 else { continue }
                let contents = try writer.finish()
                let name = "\(kind)-\(group)-\(contents.sha256.prefix(16)).ndjson.zst"
                try ArchiveStorage.rename("\(place)/set-aside.tmp", to: "\(place)/\(name)")
                files.append(
                    ArchivedTopic.SetAsideFile(
                        group: group, kind: kind.rawValue,
                        contents: SegmentContents(
                            file: name, count: contents.count, first: contents.first, last: contents.last,
                            bytes: contents.bytes, fileBytes: contents.fileBytes, sha256: contents.sha256),
                        log: log))
            }
        }
        return files
    }
}
