internal import Freshet
internal import FreshetRecords
internal import FreshetReplay
internal import Hiredis

/// A few hundred entries of the history, and what is to be done with them.
struct RebuildBatch {
    /// A handler with what it is given.
    struct Step {
        let delivery: Delivery
        let handle: @Sendable () async throws -> Void
    }
    /// An event of the service's own.
    struct Own {
        let topic: TopicName
        let event: Event
    }

    var steps: [Step] = []
    var passedOver: [Delivery] = []
    var own: [Own] = []
    /// The first entry's place in time: a follow-up of the batch stands behind it.
    var first = StreamID.zero
    var count = 0
    /// What the handlers would do; nil when one asks its database something.
    var works: [RebuildLine.Work]?
}
