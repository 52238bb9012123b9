internal import Hiredis

/// A stream that a consumer reads: a partition's log, or its group's redelivery stream.
final class ReadStream: Sendable {
    let key: String
    let partition: Int
    let isRedelivery: Bool

    init(key: String, partition: Int, isRedelivery: Bool) {
        self.key = key
        self.partition = partition
        self.isRedelivery = isRedelivery
    }
}

/// An entry in this process that is not settled yet. It belongs to its consumer's actor.
final class HeldEntry {
    let stream: ReadStream
    let id: StreamID
    let content: DecodedFields
    /// Nil for one that no handler is to see.
    let handler: Handler?
    /// Until then nobody else can have claimed it: counted from before the read or renewal was sent.
    var claimedUntil: ContinuousClock.Instant
    /// How far it has come in this process.
    enum Stage {
        /// Its handler has not been called.
        case waiting
        case running
        /// Its handler has ended, and it is being settled.
        case settling
        /// As `settling`; it comes again, by the redelivery stream.
        case comingBack
    }
    var stage = Stage.waiting
    /// The queue of its key; nil when its order does not matter.
    var queue: KeyQueue?
    /// Under which claim it was taken, with an order.
    var claim: PartitionClaim?
    /// Where it stands in the consumer's list of what is held.
    var index = -1
    /// Taken while the breaker was open, to see whether handlers work again: its failure counts no attempt.
    var isProbe = false
    /// Its handler's run, when that is traced.
    var process: ProcessSpan?
    /// How often it was delivered and its process died, this delivery included, when that is often; else 0.
    var suspicion = 0

    init(
        _ content: DecodedFields, for handler: Handler? = nil, at id: StreamID, of stream: ReadStream,
        claimedUntil: ContinuousClock.Instant
    ) {
        self.handler = handler
        self.stream = stream
        self.id = id
        self.content = content
        self.claimedUntil = claimedUntil
    }

    /// Where it stood, or first stood, in the log.
    var logPosition: StreamID { content.originalID ?? id }
}

/// What is held, in no order; each entry knows its place, so that adding and removing are one step.
struct HeldEntries {
    private(set) var all: [HeldEntry] = []

    var count: Int { all.count }

    mutating func add(_ entry: HeldEntry) {
        entry.index = all.count
        all.append(entry)
    }

    /// False when it was not there.
    @discardableResult
    mutating func remove(_ entry: HeldEntry) -> Bool {
        let index = entry.index
        guard index >= 0 else { return false }
        let last = all.removeLast()
        if last !== entry {
            all[index] = last
            last.index = index
        }
        entry.index = -1
        return true
    }

    /// Those of one stream by id.
    func byID(of stream: ReadStream) -> [StreamID: HeldEntry] {
        var found: [StreamID: HeldEntry] = [:]
        for entry in all where entry.stream === stream { found[entry.id] = entry }
        return found
    }
}
