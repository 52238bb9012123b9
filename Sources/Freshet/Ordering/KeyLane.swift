internal import DequeModule
internal import Hiredis

/// The events of one key in their order: at most one runs, the next ones wait in hand, and the rest is parked: known by
/// id only and read again when its turn comes, so that a slow key costs a few bytes for each of its events.
final class KeyLane {
    /// An entry whose payload was let go.
    struct Parked {
        let stream: ReadStream
        let id: StreamID
    }

    let partition: Int
    let key: String
    /// One of its entries runs, or is about to.
    var isBusy = false
    /// The position in the log of the event that waits for its retry, and that all others wait for.
    var blocker: StreamID?
    var waiting: Deque<HeldEntry> = []
    var parked: Deque<Parked> = []
    /// Parked entries are being read again.
    var isFetching = false
    /// Its partition went to another consumer.
    var isDropped = false

    init(partition: Int, key: String) {
        self.partition = partition
        self.key = key
    }

    var isEmpty: Bool { !isBusy && blocker == nil && waiting.isEmpty && parked.isEmpty && !isFetching }
}
