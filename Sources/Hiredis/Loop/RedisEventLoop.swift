internal import CHiredisShims
internal import DequeModule
internal import Glibc
internal import Synchronization

/// One thread that polls the sockets of its connections and runs Swift tasks in between.
///
/// As a `TaskExecutor` it runs a consumer's read-handle-acknowledge cycle without a thread hop; tasks elsewhere reach
/// its connections through a queue and an eventfd. Commands gathered in one turn of the loop leave in one write.
/// A task that blocks or computes for long on the loop holds up every connection of the loop: do that elsewhere.
///
/// The loop must outlive the tasks that prefer it; `shutDown` ends the thread once its connections are closed.
///
/// `@unchecked Sendable` because what other threads touch is in `inbox` (a mutex); everything else belongs to the thread.
@safe
public final class RedisEventLoop: TaskExecutor, SerialExecutor, @unchecked Sendable {
    private struct Inbox {
        var jobs: [UnownedJob] = []
        var actions: [@Sendable () -> Void] = []
        /// The thread polls, or is about to, and must be woken.
        var parked = false
        var stopping = false
    }

    /// The loop that is used when none is named. It lives as long as the process.
    public static let shared = RedisEventLoop(name: "freshet-loop")

    private let inbox = Mutex(Inbox())
    private let wakeup: Int32
    private let thread = Atomic<UInt>(0)
    // Of the thread:
    private var jobs = Deque<UnownedJob>()
    private var members: [any LoopMember] = []
    private var pollSet: [pollfd] = []
    /// The time at which this turn began: close enough for deadlines, and free.
    private(set) var now: Nanoseconds = 0
    /// Where members read into; parsed before the next read.
    let scratch: UnsafeMutableRawBufferPointer

    /// A loop with a thread of its own, running at once.
    public init(name: String = "freshet-loop") {
        precondition(
            fch_hiredis_library_fits() == 1,
            "compiled with the headers of hiredis \(fch_hiredis_major()).\(fch_hiredis_minor()), but the library that is "
                + "loaded is another major version: build against the headers of the installed one")
        wakeup = fch_wakeup_create()
        precondition(wakeup >= 0, "no descriptor left for the event loop")
        unsafe scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 16)
        let started = unsafe Unmanaged.passRetained(StartOrder(loop: self, name: name))
        var id = pthread_t()
        let result = unsafe pthread_create(
            &id, nil,
            { context in
                guard let context = unsafe context else { return nil }
                let order = unsafe Unmanaged<StartOrder>.fromOpaque(context).takeRetainedValue()
                unsafe fch_thread_name(order.name)
                order.loop.run()
                return nil
            }, unsafe started.toOpaque())
        precondition(result == 0, "no thread left for the event loop")
        pthread_detach(id)
    }

    private final class StartOrder {
        let loop: RedisEventLoop
        let name: String
        init(loop: RedisEventLoop, name: String) {
            self.loop = loop
            self.name = name
        }
    }

    deinit {
        fch_close(wakeup)
        unsafe scratch.deallocate()
    }

    /// Ends the thread after what is queued has run. Close the loop's clients first.
    public func shutDown() {
        wake { $0.stopping = true }
    }

    /// Whether the caller runs on the loop's thread.
    public var isCurrent: Bool { thread.load(ordering: .relaxed) == UInt(pthread_self()) }

    // MARK: - As an executor

    /// Runs a job of Swift's runtime on the loop.
    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if isCurrent {
            jobs.append(job)
        } else {
            wake { $0.jobs.append(job) }
        }
    }

    /// The loop as the preference of a task.
    public func asUnownedTaskExecutor() -> UnownedTaskExecutor {
        unsafe UnownedTaskExecutor(ordinary: self)
    }

    /// The loop as the executor of an actor.
    public func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        unsafe UnownedSerialExecutor(ordinary: self)
    }

    /// Traps unless the caller runs on the loop.
    public func checkIsolated() {
        precondition(isCurrent, "this belongs to the event loop's thread")
    }

    // MARK: - For connections

    /// Runs the action on the loop: now when the caller is on it, else soon.
    func execute(_ action: @escaping @Sendable () -> Void) {
        if isCurrent { action() } else { wake { $0.actions.append(action) } }
    }

    func add(_ member: any LoopMember) {
        checkIsolated()
        members.append(member)
    }

    func remove(_ member: any LoopMember) {
        checkIsolated()
        members.removeAll { $0 === member }
    }

    // MARK: - The thread

    private func wake(_ change: (inout Inbox) -> Void) {
        let signal = inbox.withLock { inbox in
            change(&inbox)
            defer { inbox.parked = false }
            return inbox.parked
        }
        if signal { fch_wakeup_signal(wakeup) }
    }

    private func run() {
        thread.store(UInt(pthread_self()), ordering: .relaxed)
        while true {
            now = MonotonicTime.now()
            let stopping = runQueued()
            for member in members { member.flush() }
            if stopping && members.isEmpty { return }
            poll()
        }
    }

    /// Runs what is queued, at most about a thousand jobs so that sockets are not starved.
    private func runQueued() -> Bool {
        var taken: [UnownedJob] = []
        var actions: [@Sendable () -> Void] = []
        let stopping = inbox.withLock { inbox in
            swap(&taken, &inbox.jobs)
            swap(&actions, &inbox.actions)
            return inbox.stopping
        }
        jobs.append(contentsOf: taken)
        for action in actions { action() }
        var budget = 1024
        while budget > 0, let job = jobs.popFirst() {
            unsafe job.runSynchronously(
                isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
            budget -= 1
        }
        return stopping
    }

    private func poll() {
        let polled = members
        pollSet.removeAll(keepingCapacity: true)
        pollSet.append(pollfd(fd: wakeup, events: Int16(POLLIN), revents: 0))
        var next: Nanoseconds?
        for member in polled {
            let interest = member.interest
            pollSet.append(pollfd(fd: interest?.descriptor ?? -1, events: interest?.events ?? 0, revents: 0))
            if let deadline = member.deadline { next = min(next ?? deadline, deadline) }
        }
        // Parked only when nothing is queued: whoever queues after this sees `parked` and signals.
        let idle =
            jobs.isEmpty
            && inbox.withLock { inbox in
                inbox.parked = inbox.jobs.isEmpty && inbox.actions.isEmpty
                return inbox.parked
            }
        var wait: Int64 = 0
        if idle {
            wait =
                next.map { next in
                    let time = MonotonicTime.now()
                    return next > time ? Int64(clamping: next - time) : 0
                } ?? -1
        }
        let ready = unsafe pollSet.withUnsafeMutableBufferPointer { set in
            unsafe fch_poll(set.baseAddress, set.count, wait)
        }
        if idle { inbox.withLock { $0.parked = false } }
        now = MonotonicTime.now()
        if ready > 0 {
            if pollSet[0].revents != 0 { fch_wakeup_drain(wakeup) }
            for (index, member) in polled.enumerated() {
                let revents = pollSet[index + 1].revents
                // A member before this one may have closed it, or put another descriptor in its place.
                guard revents != 0, member.interest?.descriptor == pollSet[index + 1].fd else { continue }
                member.ready(revents)
            }
        }
        guard next != nil else { return }
        for member in polled {
            if let deadline = member.deadline, deadline <= now { member.tick(at: now) }
        }
    }
}
