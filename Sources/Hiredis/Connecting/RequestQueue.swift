internal import DequeModule

/// The requests of one connection that wait for replies, in the order in which they were written.
///
/// A request whose caller has gone (time-out, cancellation) keeps its place, so that its late replies are dropped in
/// order and never taken for someone else's.
struct RequestQueue {
    private var requests = Deque<Request>()
    /// The commands and bytes of all requests in it.
    private(set) var commands = 0
    private(set) var bytes = 0

    var isEmpty: Bool { requests.isEmpty }
    var first: Request? { requests.first }

    mutating func append(_ request: Request) {
        requests.append(request)
        commands += request.pipeline.count
        bytes += request.pipeline.bytes.count
    }

    /// What to do with one more reply.
    enum Arrival {
        /// More replies of the same request are to come.
        case incomplete
        /// The request has all its replies: take them and give them to it.
        case complete(Request)
        /// The request has all its replies and its caller has gone.
        case abandoned
        /// Nobody asked.
        case unexpected
    }

    mutating func replyArrived() -> Arrival {
        guard let request = requests.first else { return .unexpected }
        request.received += 1
        guard request.received == request.pipeline.count else { return .incomplete }
        requests.removeFirst()
        commands -= request.pipeline.count
        bytes -= request.pipeline.bytes.count
        return request.isAnswered ? .abandoned : .complete(request)
    }

    /// The requests whose time is up at `now`, and the next deadline of the others.
    func expired(at now: Nanoseconds) -> (requests: [Request], next: Nanoseconds) {
        var expired: [Request] = []
        var next = Nanoseconds.max
        for request in requests where !request.isAnswered {
            if request.deadline <= now { expired.append(request) } else { next = min(next, request.deadline) }
        }
        return (expired, next)
    }

    /// Empties the queue of a connection that broke after `written` bytes: the requests of which no byte left can be
    /// sent again on another connection, the others may have run.
    mutating func drain(written: UInt64) -> (ambiguous: [Request], unsent: [Request]) {
        var ambiguous: [Request] = []
        var unsent: [Request] = []
        for request in requests where !request.isAnswered {
            if let start = request.start, start >= written {
                unsent.append(request)
            } else {
                ambiguous.append(request)
            }
        }
        requests.removeAll()
        (commands, bytes) = (0, 0)
        return (ambiguous, unsent)
    }
}
