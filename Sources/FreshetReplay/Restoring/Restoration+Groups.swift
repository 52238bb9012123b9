internal import Freshet
internal import Hiredis

extension Restoration {
    /// Makes the groups at their positions, with as many entries read as makes the server's own lag right.
    func restoreGroups(_ number: Int, _ restored: RestoredLog) async throws {
        let known = state.partitions[number]
        let keys = broker.keys(topic, number)
        for (index, group) in known.groups.enumerated() where group.isMade {
            let read = max(0, added(known, restored) - restored.behind[index])
            let name = group.name.rawValue
            try await make(name, on: keys.events, after: group.position, read: read)
            try await make(name, on: keys.redelivery(group.name), after: .zero, read: nil)
        }
    }

    private func make(_ group: String, on key: String, after position: StreamID, read: Int?) async throws {
        do throws(RedisError) {
            try await broker.client.send(.xgroupCreate(key, group, after: position))
        } catch  where error.serverCode == .busyGroup {
            // A restoration that was killed has made it, or a worker that did not wait.
        } catch { throw FreshetError(error) }
        guard let read else { return }
        do throws(RedisError) {
            try await broker.client.send(.xgroupSetID(key, group, after: position, entriesRead: read))
        } catch  where error.message.lowercased().contains("syntax") {
            // Before Redis 7.
            try await broker.client.send(.xgroupSetID(key, group, after: position))
        } catch { throw FreshetError(error) }
    }

    /// Dead letters and invalid entries, verbatim.
    func restoreSetAside(_ number: Int) async throws {
        let folder = archive.path(broker.namespace, topic, number)
        for file in state.partitions[number].setAside {
            guard let kind = SetAside(rawValue: file.kind) else {
                throw ArchiveError(
                    .altered, "\(folder)/\(file.contents.file): '\(file.kind)' is no kind of it")
            }
            let key = broker.keys(topic, number).setAside(kind, file.group)
            let before = isResumed ? try await broker.streamInfo(key) : nil
            let there = before?.lastID ?? .zero
            var end = there
            var reader = try SegmentReader(file.contents, in: folder)
            while let page = try reader.nextPage() {
                let own = page.filter { $0.id > there }
                if own.isEmpty { continue }
                try await ExactAppend.add(own, to: key, behind: end, on: broker.client)
                end = own.last?.id ?? end
            }
            guard file.log.lastGeneratedID > .zero else { continue }
            let last = max(file.log.lastGeneratedID, file.contents.last, before?.lastGeneratedID ?? .zero)
            do throws(RedisError) {
                _ = try await broker.client.send(
                    RedisCommand(
                        "XSETID", key, last, "ENTRIESADDED",
                        max(file.contents.count, file.log.entriesAdded ?? 0, before?.entriesAdded ?? 0),
                        "MAXDELETEDID", max(file.log.maxDeletedID ?? .zero, before?.newestDeletedID ?? .zero))
                )
            } catch  where error.message.lowercased().contains("syntax") {
                _ = try await broker.client.send(RedisCommand("XSETID", key, last))
            } catch { throw FreshetError(error) }
        }
    }

    /// Events that are published later: a restoration that goes on adds them again, which changes nothing.
    func restoreScheduled(_ number: Int) async throws {
        guard let file = state.partitions[number].scheduled else { return }
        let key = broker.keys(topic, number).scheduled
        var reader = try SegmentReader(file, in: archive.path(broker.namespace, topic, number))
        while let page = try reader.nextPage() {
            var pipeline = RedisPipeline()
            for entry in page {
                let fields = entry.fields.compactMap(\.bytes)
                if fields.count == 2 { pipeline.append("ZADD", key, fields[0], fields[1]) }
            }
            guard pipeline.count > 0 else { continue }
            for reply in try await broker.client.send(pipeline) { try reply.get() }
        }
    }
}
