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
public final class RedisEventLoop: TaskExecutor, @unchecked Sendable {
    /// A job of Swift's runtime, and whether it is an actor's.
    fileprivate struct Job {
        let job: UnownedJob
        let isIsolated: Bool
    }

    private struct Inbox {
        var jobs: [Job] = []
        var actions: [@Sendable () -> Void] = []
        /// The thread polls, or is about to, and must be woken.
        var parked = false
        var stopping = false
    }

    /// The loop that is used when none is named. It lives as long as the process.
    public static let shared = RedisEventLoop(name: "freshet-loop")

    private let inbox = Guarded(Inbox())
    private let wakeup: Int32
    private let thread = Atomic<UInt>(0)
    // Of the thread:
    private var jobs = Deque<Job>()
    private var members: [any LoopMember] = []
    private let poller: Int32
    private let timer: Int32
    /// When the timer rings.
    private var timerSet = Nanoseconds.max
    private var events = [fch_event](repeating: fch_event(), count: 64)
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
        poller = fch_poller_create()
        timer = fch_timer_create()
        precondition(wakeup >= 0 && poller >= 0 && timer >= 0, "no descriptor left for the event loop")
        for descriptor in [wakeup, timer] {
            let error = fch_poller_set(poller, descriptor, 0, UInt32(FCH_READABLE))
            precondition(error == 0, "the event loop cannot poll: errno \(error)")
        }
        unsafe scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 16)
        serialExecutor.loop = self
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
        fch_close(timer)
        fch_close(poller)
        unsafe scratch.deallocate()
    }

    /// Ends the thread after what is queued has run. Close the loop's clients first.
    public func shutDown() {
        wake { $0.stopping = true }
    }

    /// Whether the caller runs on the loop's thread.
    public var isCurrent: Bool { thread.load(ordering: .relaxed) == UInt(pthread_self()) }

    // MARK: - As an executor

    /// Runs a task's job on the loop.
    public func enqueue(_ job: consuming ExecutorJob) {
        enqueue(Job(job: UnownedJob(job), isIsolated: false))
    }

    fileprivate func enqueue(_ job: Job) {
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

    /// The loop as the executor of actors.
    public let serialExecutor = LoopSerialExecutor()

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
        unwatch(member)
        members.removeAll { $0 === member }
    }

    /// The member's descriptor is about to be closed.
    func unwatch(_ member: any LoopMember) {
        guard let watched = member.watched else { return }
        _ = fch_poller_set(poller, watched.descriptor, 1, 0)
        member.watched = nil
    }

    private func watch(_ member: any LoopMember) {
        let interest = member.interest
        guard interest != member.watched else { return }
        if let watched = member.watched, watched.descriptor != interest?.descriptor { unwatch(member) }
        guard let interest else { return }
        let events = (interest.reads ? FCH_READABLE : 0) | (interest.writes ? FCH_WRITABLE : 0)
        let error = fch_poller_set(
            poller, interest.descriptor, member.watched == nil ? 0 : 1, UInt32(events))
        if error == 0 { member.watched = interest } else { member.cannotBePolled(errno: error) }
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
            if stopping && members.isEmpty && hasNothingQueued {
                thread.store(0, ordering: .relaxed)
                return
            }
            poll()
        }
    }

    private var hasNothingQueued: Bool {
        jobs.isEmpty && inbox.withLock { $0.jobs.isEmpty && $0.actions.isEmpty }
    }

    /// Runs what is queued, at most about a thousand jobs so that sockets are not starved.
    private func runQueued() -> Bool {
        var taken: [Job] = []
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
            // A task's job that ran as an actor's would seem to be in the wrong place at each `await`, and be queued again.
            if job.isIsolated {
                unsafe job.job.runSynchronously(
                    isolatedTo: serialExecutor.asUnownedSerialExecutor(),
                    taskExecutor: asUnownedTaskExecutor())
            } else {
                unsafe job.job.runSynchronously(on: asUnownedTaskExecutor())
            }
            budget -= 1
        }
        return stopping
    }

    private func poll() {
        var next = Nanoseconds.max
        for member in members {
            watch(member)
            if let deadline = member.deadline { next = min(next, deadline) }
        }
        if next < timerSet {
            timerSet = next
            fch_timer_set(timer, max(1, next))
        }
        // Parked only when nothing is queued: whoever queues after this sees `parked` and signals.
        let idle =
            jobs.isEmpty
            && inbox.withLock { inbox in
                inbox.parked = inbox.jobs.isEmpty && inbox.actions.isEmpty
                return inbox.parked
            }
        let ready = unsafe events.withUnsafeMutableBufferPointer { events in
            unsafe fch_poller_wait(poller, events.baseAddress, Int32(events.count), idle ? 1 : 0)
        }
        if idle { inbox.withLock { $0.parked = false } }
        now = MonotonicTime.now()
        for event in events.prefix(max(0, Int(ready))) { dispatch(event) }
        guard next <= now else { return }
        for member in members {
            if let deadline = member.deadline, deadline <= now { member.tick(at: now) }
        }
    }

    private func dispatch(_ event: fch_event) {
        if event.descriptor == wakeup { return fch_wakeup_drain(wakeup) }
        if event.descriptor == timer {
            timerSet = .max
            return fch_timer_drain(timer)
        }
        // One before it may have closed it, or put another descriptor in its place: that one was not watched before.
        guard let member = members.first(where: { $0.watched?.descriptor == event.descriptor }) else {
            return
        }
        member.ready(canRead: event.events & ~UInt32(FCH_WRITABLE) != 0)
    }
}

/// The loop as the executor of actors: their code runs on the loop's thread, one job at a time like everything there.
///
/// `@unchecked Sendable` because its loop is set once, before anyone else knows it.
public final class LoopSerialExecutor: SerialExecutor, @unchecked Sendable {
    fileprivate weak var loop: RedisEventLoop?

    /// Runs an actor's job on the loop.
    public func enqueue(_ job: consuming ExecutorJob) {
        guard let loop else { preconditionFailure("an event loop must outlive its actors") }
        loop.enqueue(RedisEventLoop.Job(job: UnownedJob(job), isIsolated: true))
    }

    /// This executor for an actor.
    public func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        unsafe UnownedSerialExecutor(ordinary: self)
    }

    /// Traps unless the caller runs on the loop.
    public func checkIsolated() { loop?.checkIsolated() }
}
