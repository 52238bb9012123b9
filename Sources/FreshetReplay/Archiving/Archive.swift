public import Freshet
internal import Hiredis

/// A folder with topics, as `Archiver` writes it: one's own disk or a mounted bucket.
///
///     FOLDER/NAMESPACE/TOPIC/topic.json                what was declared, where groups stood
///     FOLDER/NAMESPACE/TOPIC/0/manifest.json           the segments of partition 0
///     FOLDER/NAMESPACE/TOPIC/0/00000001.ndjson.zst     entries, a line each
public struct Archive: Sendable {
    /// The folder.
    public let folder: String

    /// The archive in this folder. Throws `notFound` when there is no such folder.
    public init(_ folder: String) throws(ArchiveError) {
        guard ArchiveStorage.isFolder(folder) else {
            throw ArchiveError(.notFound, "there is no folder '\(folder)'")
        }
        self.folder = folder
    }

    /// The topics that it has, by namespace and name.
    public func topics() throws(ArchiveError) -> [(namespace: Namespace, topic: TopicName)] {
        var topics: [(namespace: Namespace, topic: TopicName)] = []
        for space in try ArchiveStorage.names(in: folder) {
            guard let namespace = try? Namespace(checking: space),
                ArchiveStorage.isFolder("\(folder)/\(space)")
            else { continue }
            for name in try ArchiveStorage.names(in: "\(folder)/\(space)") {
                guard let topic = try? TopicName(checking: name),
                    try !partitions(namespace, topic).isEmpty
                else { continue }
                topics.append((namespace, topic))
            }
        }
        return topics
    }

    /// What it knows of a topic beside its entries. Throws `notFound`, with the topics that there are.
    public func topic(_ namespace: Namespace, _ name: TopicName) throws(ArchiveError) -> ArchivedTopic {
        if let topic = try ArchivedTopic.load(path(namespace, name)) { return topic }
        if try !partitions(namespace, name).isEmpty {
            throw ArchiveError(
                .altered,
                "\(path(namespace, name))/\(ArchivedTopic.fileName): is missing, or the first pass did not end"
            )
        }
        let names = try topics().map { "\($0.namespace)/\($0.topic)" }
        throw ArchiveError(
            .notFound,
            "no topic '\(namespace)/\(name)' in '\(folder)' (there are: "
                + "\(names.isEmpty ? "none" : names.joined(separator: ", ")))")
    }

    /// What it says of a partition; nil when it has nothing of it. Throws `altered` for a manifest that cannot be.
    public func partition(_ namespace: Namespace, _ topic: TopicName, _ partition: Int) throws(ArchiveError)
        -> ArchivePartition?
    {
        let folder = path(namespace, topic, partition)
        let manifest = try ArchivePartition.load(folder)
        if let manifest,
            (manifest.namespace, manifest.topic, manifest.partition) != (namespace, topic, partition)
        {
            throw ArchiveError(.altered, "\(folder)/\(ArchivePartition.fileName): is another partition's")
        }
        return manifest
    }

    /// The partitions of which there is something.
    func partitions(_ namespace: Namespace, _ topic: TopicName) throws(ArchiveError) -> [Int] {
        try ArchiveStorage.names(in: path(namespace, topic)).compactMap { Int($0) }.sorted()
    }

    func path(_ namespace: Namespace, _ topic: TopicName) -> String { "\(folder)/\(namespace)/\(topic)" }
    func path(_ namespace: Namespace, _ topic: TopicName, _ partition: Int) -> String {
        "\(path(namespace, topic))/\(partition)"
    }
}
