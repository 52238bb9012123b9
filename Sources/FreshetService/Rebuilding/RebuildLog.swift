internal import Freshet
internal import FreshetReplay
internal import Hiredis

/// One partition of a topic, as far as a rebuild has read it.
struct RebuildLog {
    let history: History
    let partition: Int
    /// Whose handlers see its events; nil for a log in which only follow-ups are looked for.
    let subscription: Subscription?
    /// What the group had settled when the rebuild began.
    var settled = SettledEntries.none
    /// Up to here it is decided of each entry whether it was handled.
    var decidedTo = StreamID.zero
    /// What is missing up to here may have stood in the log.
    var lostTo = StreamID.zero
    /// Up to here follow-ups were looked for.
    var scannedTo = StreamID.zero

    var place: MergedHistory.Place { .init(topic: history.topic, partition: partition) }
}

/// Where an entry stands that was not handled when it was met.
struct RebuildPlace {
    let log: MergedHistory.Place
    let id: StreamID
}
