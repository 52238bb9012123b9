internal import Freshet
internal import Hiredis

extension Archiver {
    /// Archives one partition, up to what its log has given out when this begins.
    ///
    /// - Parameter goesOn: called with the count after each page.
    /// - Returns: with them, how many entries behind the archive's end are gone, with none behind them to say so.
    func archive(_ partition: Int, _ goesOn: (Int) -> Bool) async throws -> (
        log: ArchivedTopic.Log?, lost: Int, report: ArchiveReport
    ) {
        var report = ArchiveReport(topic: topic.name, partition: partition)
        describe(partition, &report)
        let key = broker.keys(topic.name, partition).events
        let end = manifests[partition].last ?? .zero
        guard let info = try await broker.streamInfo(key) else {
            guard end == .zero else { throw gone(partition) }
            return (nil, 0, report)
        }
        if try await isAnother(info, partition) { try await settle(info, partition, &report) }
        guard info.lastGeneratedID > end else {
            if info.lastGeneratedID == end { try agree(info, partition) }
            describe(partition, &report)
            return (ArchivedTopic.Log(info), 0, report)
        }
        let addedBefore = manifests[partition].segments.last?.added ?? 0
        // A queue's entries are deleted once they are settled.
        let given = topic.kind == .queue ? nil : info.entriesAdded.map { $0 - addedBefore }
        let isCutOff = info.firstID.map { $0 > end } ?? true
        let gone = isCutOff ? max(0, (given ?? info.length) - info.length) : 0
        var source = LogPages(key, in: end...info.lastGeneratedID, on: broker, segment: options.segmentEvents)
        var (total, writer): (Int, SegmentWriter?) = (0, nil)
        var (wasStopped, missing, counted, lost) = (false, gone, 0, 0)
        while let page = try await source.next() {
            let own =
                try writer
                ?? SegmentWriter(
                    "\(folder)/\(partition)/\(manifests[partition].nextFile)", compressor: compressor)
            writer = own
            try own.append(page)
            total += page.count
            wasStopped = !goesOn(total)
            let isFull = own.count >= options.segmentEvents || own.bytes >= options.segmentBytes
            if isFull || wasStopped || page.last?.id == source.end {
                // What was cut off while this read.
                let isLast = page.last?.id == source.end
                if isLast, let given { missing = max(missing, given - total - counted) }
                try await finish(own, partition, missing: missing)
                report.missing += max(0, missing - (told.removeValue(forKey: partition) ?? 0))
                counted += missing
                (writer, missing) = (nil, 0)
            }
            if wasStopped { break }
            try await lock.renew()
        }
        if let writer {
            if let given { missing = max(missing, given - total - counted) }
            try await finish(writer, partition, missing: missing)
            report.missing += max(0, missing - (told.removeValue(forKey: partition) ?? 0))
        }
        if total == 0, !wasStopped, let given, given > 0 {
            lost = given
            report.missing += max(0, lost - (told[partition] ?? 0))
            told[partition] = lost
        }
        report.archived = total
        describe(partition, &report)
        return (ArchivedTopic.Log(info), lost, report)
    }

    /// A log that was restored from an archive with more entries than its server knew of counts them all.
    private func agree(_ info: StreamInfo, _ partition: Int) throws(ArchiveError) {
        var manifest = manifests[partition]
        guard topic.kind != .queue, let added = info.entriesAdded, let last = manifest.segments.last,
            added > last.added
        else { return }
        manifest.amendLast(added: added, missing: 0)
        try manifest.save("\(folder)/\(partition)")
        manifests[partition] = manifest
    }

    /// Ends a segment: on the disk, read again, in the manifest, and marked in the topic's hash.
    private func finish(_ writer: SegmentWriter, _ partition: Int, missing: Int) async throws {
        let contents = try writer.finish()
        let place = "\(folder)/\(partition)"
        var reader = try SegmentReader(contents, in: place)
        try reader.checkFrame()
        try ArchiveStorage.syncFolder(place)
        try await lock.renew(force: true)
        var manifest = manifests[partition]
        let added = (manifest.segments.last?.added ?? 0) + missing + contents.count
        manifest.append(contents, added: added, missing: missing)
        try manifest.save(place)
        manifests[partition] = manifest
        _ = try await mark(partition, through: contents.last)
    }

    /// Returns the other archive that retention goes by; nil when it goes by this one.
    func mark(_ partition: Int, through last: StreamID) async throws -> String? {
        try await broker.mark(
            topic.name, partition, archivedThrough: last, by: known?.archive, takesOver: options.takesOver)
    }

    private func describe(_ partition: Int, _ report: inout ArchiveReport) {
        let manifest = manifests[partition]
        report.total = manifest.count
        report.segments = manifest.segments.count
        (report.first, report.last) = (manifest.first, manifest.last)
    }

    /// Joins small segments at the end, as those of a service that looks every few seconds, so that their number stays small:
    /// each is at least twice as long as the next. Files of compressed frames are joined without compressing anew.
    func mergeSmall(_ partition: Int) throws(ArchiveError) {
        while true {
            let last = manifests[partition].segments.suffix(2).map(\.self)
            guard last.count == 2, last[0].count < 2 * last[1].count,
                last[0].count + last[1].count <= options.segmentEvents,
                last[0].bytes + last[1].bytes <= options.segmentBytes
            else { return }
            var manifest = manifests[partition]
            let place = "\(folder)/\(partition)"
            let joined = try SegmentJoin.join(
                last[0].contents, last[1].contents, in: place, as: manifest.nextFile)
            var reader = try SegmentReader(joined, in: place)
            try reader.checkFrame()
            try ArchiveStorage.syncFolder(place)
            manifest.replaceLast(2, with: joined)
            try manifest.save(place)
            manifests[partition] = manifest
        }
    }

    /// Removes files that no manifest names: what a killed archiver was writing, and what was joined or written anew.
    func removeStrangers() throws(ArchiveError) {
        for (partition, manifest) in manifests.enumerated() {
            var names = Set(manifest.segments.map(\.file))
            names.insert(ArchivePartition.fileName)
            if let known, partition < known.partitions.count {
                names.formUnion(known.partitions[partition].files.map(\.file))
            }
            for name in try ArchiveStorage.names(in: "\(folder)/\(partition)")
            where !names.contains(name) && (name.hasSuffix(".ndjson.zst") || name.hasSuffix(".tmp")) {
                ArchiveStorage.remove("\(folder)/\(partition)/\(name)")
            }
        }
    }
}

enum SegmentJoin {
    static func join(
        _ first: SegmentContents, _ second: SegmentContents, in folder: String, as name: String
    ) throws(ArchiveError) -> SegmentContents {
        let output = try OutputFile("\(folder)/\(name)")
        let sha = SHA256()
        var chunk = [UInt8](repeating: 0, count: 131_072)
        for file in [first.file, second.file] {
            guard let input = try InputFile("\(folder)/\(file)") else {
                throw ArchiveError(.altered, "\(folder)/\(file): is missing")
            }
            while case let count = try input.read(into: &chunk), count > 0 {
                let outcome = unsafe chunk.withUnsafeBytes { all in
                    Result { () throws(ArchiveError) in
                        let part = unsafe UnsafeRawBufferPointer(rebasing: all[..<count])
                        unsafe sha.update(part)
                        try unsafe output.write(part)
                    }
                }
                try outcome.get()
            }
        }
        try output.finish()
        return SegmentContents(
            file: name, count: first.count + second.count, first: first.first, last: second.last,
            bytes: first.bytes + second.bytes, fileBytes: first.fileBytes + second.fileBytes,
            sha256: sha.finish())
    }
}
