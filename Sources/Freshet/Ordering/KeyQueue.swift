internal import DequeModule
internal import Hiredis

/// The events of one key in the order of the log: at most one runs, a few wait in memory, the others are
/// deferred: known by id only, and read again when their turn comes. Beyond a limit even the ids are not
/// kept: the pending list at the server has them, and is searched when the key gets there.
final class KeyQueue {
    /// An entry whose payload is not in memory.
    struct Deferred {
        let stream: ReadStream
        let id: StreamID
        /// Its position in the log, of a retry that of its first delivery.
        let position: StreamID
    }

    /// The entries of a stream that are deferred without their ids: from the first to the last, all that are
    /// pending.
    struct Overflow {
        var first: StreamID
        var last: StreamID
    }

    /// An event that waits for its retry, and that all later events of the key wait for.
    struct Blocker {
        let position: StreamID
        /// Ascending within the consumer: tells whether it is the same wait as at an earlier look.
        let number: Int
    }

    let partition: Int
    let key: String
    /// One of its entries runs, or is about to.
    var isBusy = false
    /// Ascending by position.
    var blockers: [Blocker] = []
    var waiting: Deque<HeldEntry> = []
    var deferred: Deque<Deferred> = []
    /// The streams that had an overflow.
    private(set) var overflowStreams: (log: ReadStream?, redelivery: ReadStream?)
    private var logOverflow: Overflow?
    private var redeliveryOverflow: Overflow?
    /// Deferred entries are being read again, or searched.
    var isFetching = false
    /// Replaced, or its partition went to another consumer.
    var isDropped = false

    init(partition: Int, key: String) {
        self.partition = partition
        self.key = key
    }

    subscript(overflowOf stream: ReadStream) -> Overflow? {
        get { stream.isRedelivery ? redeliveryOverflow : logOverflow }
        set { if stream.isRedelivery { redeliveryOverflow = newValue } else { logOverflow = newValue } }
    }

    var hasOverflow: Bool { logOverflow != nil || redeliveryOverflow != nil }

    /// Nothing of the key stands before an entry that comes now.
    var isFree: Bool { !isBusy && hasNothingBehind }

    /// Nothing waits behind what runs.
    var hasNothingBehind: Bool {
        blockers.isEmpty && waiting.isEmpty && deferred.isEmpty && !hasOverflow && !isFetching
    }

    /// Adds the entry to those that are deferred without their ids.
    func overflow(_ entry: HeldEntry) {
        if entry.stream.isRedelivery {
            overflowStreams.redelivery = entry.stream
        } else {
            overflowStreams.log = entry.stream
        }
        let present = self[overflowOf: entry.stream]
        self[overflowOf: entry.stream] = Overflow(
            first: min(present?.first ?? entry.id, entry.id), last: max(present?.last ?? entry.id, entry.id))
    }

    /// Whether the id is among the deferred, by its name or without.
    func hasDeferred(_ id: StreamID, of stream: ReadStream) -> Bool {
        if let overflow = self[overflowOf: stream], overflow.first <= id, id <= overflow.last { return true }
        return deferred.contains { $0.id == id && $0.stream === stream }
    }
}
