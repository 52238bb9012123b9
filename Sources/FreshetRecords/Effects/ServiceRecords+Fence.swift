public import Freshet

/// The epochs of partitions stand beside the records: effects of an owner that has lost its partition without knowing are
/// refused in their own transaction.
///
/// The epoch that a transaction reads holds until it has committed: in SQLite a transaction that writes is alone, in PostgreSQL the
/// row is locked, and a new owner waits for those that have read it.
extension ServiceRecords: PartitionFence {
    /// Notes a new owner; returns an epoch that is one higher than the last.
    public func raise(topic: TopicName, group: GroupName, partition: Int, owner: ConsumerName) async throws
        -> Int
    {
        try await database.transaction { transaction in
            try transaction.execute(
                """
                INSERT INTO partition_owners (topic, consumer_group, partition, owner, epoch) VALUES ($1, $2, $3, $4, 1)
                ON CONFLICT (topic, consumer_group, partition)
                DO UPDATE SET owner = excluded.owner, epoch = partition_owners.epoch + 1
                """,
                .text(topic.rawValue), .text(group.rawValue), .integer(partition), .text(owner.rawValue))
            return try Self.owner(of: topic, group, partition, in: transaction)?.epoch ?? 1
        }
    }

    /// Throws `StaleOwner` when the partition went to another owner.
    func check(_ delivery: Delivery, in transaction: any RecordsTransaction) throws {
        guard let claim = delivery.claim,
            let owner = try Self.owner(
                of: delivery.topic, delivery.group, delivery.partition, in: transaction,
                locking: database.dialect.sharedLock),
            owner.epoch > claim.epoch
        else { return }
        throw StaleOwner(
            topic: delivery.topic, partition: delivery.partition, claim: claim, owner: owner.name)
    }

    private static func owner(
        of topic: TopicName, _ group: GroupName, _ partition: Int, in transaction: any RecordsTransaction,
        locking: String = ""
    ) throws -> (name: String, epoch: Int)? {
        let rows = try transaction.query(
            "SELECT owner, epoch FROM partition_owners WHERE topic = $1 AND consumer_group = $2 AND partition = $3"
                + locking,
            .text(topic.rawValue), .text(group.rawValue), .integer(partition))
        return rows.first.map { ($0.text("owner") ?? "", Int($0.integer("epoch") ?? 0)) }
    }
}
