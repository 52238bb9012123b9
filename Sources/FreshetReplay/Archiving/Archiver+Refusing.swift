internal import Freshet
internal import Hiredis

extension Archiver {
    /// Throws `refused` when the server has lost what the archive has, or is about to get it back: what would be seen now
    /// is no state to restore from.
    func refuseWhatIsGone() async throws {
        let key = broker.namespace.topicKey(topic.name)
        guard try await broker.client.send(RedisCommand("HEXISTS", key, Restoration.marker)).integer != 1
        else {
            throw ArchiveError(.refused, "the topic '\(topic.name)' is being restored: let that end first")
        }
        if let known, known.partitions.count > topic.partitions {
            throw ArchiveError(
                .refused,
                "the topic '\(topic.name)' has \(topic.partitions) partitions, and the archive \(known.partitions.count): "
                    + "restore it first")
        }
        for partition in manifests.indices {
            guard
                !manifests[partition].segments.isEmpty
                    || before(partition)?.log?.lastGeneratedID ?? .zero > .zero
            else { continue }
            let info = try await broker.streamInfo(broker.keys(topic.name, partition).events)
            // A group that was made before anything was published makes an empty log.
            guard let info, info.length > 0 || info.lastGeneratedID > .zero && info.entriesAdded != 0 else {
                throw gone(partition)
            }
        }
    }

    func gone(_ partition: Int) -> ArchiveError {
        ArchiveError(
            .refused,
            "the log of '\(topic.name)' partition \(partition) is gone: restore it first, or archive to another folder"
        )
    }
}
