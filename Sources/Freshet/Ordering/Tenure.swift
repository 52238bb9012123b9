internal import Hiredis

/// One partition's state in a consumer that keeps an order: whether it owns it, and since which epoch.
struct Tenure {
    enum Phase {
        /// Somebody else's, or nobody's.
        case absent
        /// Ours; what its last owner left is taken up first, in the order of the log.
        case takingOver
        /// Ours, and read.
        case live
        /// To be given to another consumer as soon as its last handler has ended.
        case leaving
    }

    var phase = Phase.absent
    var epoch = 0
    /// Until then nobody else can own it: counted from before the lease was asked for.
    var keptUntil: ContinuousClock.Instant
    /// What handlers are told.
    var claim: PartitionClaim?
    var takeover = Takeover()
    /// Under way, or nil.
    var comparison: Comparison?
    /// Waits for retries that the last comparison did not find, by position: the number of each wait.
    var missingBefore: [StreamID: Int] = [:]
    /// Entries that were settled while the pending list is gone through: a page can be older than that. Nil
    /// when none is.
    var settledMeanwhile: SettledEntries?
    /// Of each stream, the newest entry that was taken up.
    var newest = NewestEntries()
    /// What is pending is to be taken up anew: the server may hold something for this consumer that is not in
    /// hand.
    var needsRestart = false
    /// Since when the partition is to be given to another consumer.
    var leavingSince: ContinuousClock.Instant?
    /// What still ran when the partition could not be given away in time.
    var stuckOn: [HeldEntry] = []

    var isOwned: Bool { phase != .absent }

    init(keptUntil: ContinuousClock.Instant) { self.keptUntil = keptUntil }

    /// An entry of the partition was settled.
    mutating func settled(_ id: StreamID, of stream: ReadStream) {
        settledMeanwhile?[stream.isRedelivery].insert(id)
    }
}

/// Entries of a partition's two streams: the same id can name one in each.
struct SettledEntries {
    private var log: Set<StreamID> = []
    private var redelivery: Set<StreamID> = []

    subscript(isRedelivery: Bool) -> Set<StreamID> {
        get { isRedelivery ? redelivery : log }
        _modify { if isRedelivery { yield &redelivery } else { yield &log } }
    }
}

/// The newest entries of a partition's two streams.
struct NewestEntries {
    private var log = StreamID.zero
    private var redelivery = StreamID.zero

    subscript(isRedelivery: Bool) -> StreamID {
        get { isRedelivery ? redelivery : log }
        set { if isRedelivery { redelivery = newValue } else { log = newValue } }
    }
}

/// How far the taking over of a partition has come.
struct Takeover {
    enum Step {
        /// Which keys wait for a retry: first those that are put off, by rank from the last one, then those that are due.
        case delayed(rank: Int)
        case due(after: StreamID)
        /// What is pending, of the redelivery stream and then of the log.
        case redelivery(after: StreamID)
        case log(after: StreamID)
    }
    var step = Step.delayed(rank: 0)
    /// The last owner did not give it back: what it held may have killed it.
    var isAfterCrash = false
    /// The reply to this step was lost: what it counted is counted already.
    var isRepeated = false
}

/// Who owns a partition while it handles an event of it: whoever keeps the epoch beside its effects can refuse those of
/// an owner that has lost the partition without knowing.
public struct PartitionClaim: Sendable, Hashable {
    /// The owner.
    public let owner: ConsumerName
    /// Counts the owners of the partition, each higher than the one before.
    public let epoch: Int

    /// A claim, for tests of handlers.
    public init(owner: ConsumerName, epoch: Int) {
        self.owner = owner
        self.epoch = epoch
    }
}

/// Thrown where effects are kept when their handler's consumer has lost the partition without knowing: nothing was
/// changed, and the new owner handles the event. The consumer gives the partition up.
public struct StaleOwner: Error, Sendable, CustomStringConvertible {
    /// Who owns the partition now, and who took itself for the owner.
    public let description: String

    /// The owner of this claim has lost the partition to another one.
    public init(topic: TopicName, partition: Int, claim: PartitionClaim, owner: String) {
        description =
            "partition \(partition) of '\(topic)' went from '\(claim.owner)' (epoch \(claim.epoch)) to '\(owner)'"
    }
}

/// Where the epochs of partitions are kept that must not come back: a service's database.
///
/// An epoch made in Redis is a fence for what stands in Redis. After a failover that lost the newest writes it can be given
/// out twice, so effects elsewhere need one that is made, and checked, where they are.
public protocol PartitionFence: Sendable {
    /// A new owner takes the partition; returns an epoch that is higher than all before. From then on effects under an
    /// earlier one must fail.
    func raise(topic: TopicName, group: GroupName, partition: Int, owner: ConsumerName) async throws -> Int
}
