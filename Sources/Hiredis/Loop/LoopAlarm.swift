/// Lets one task at a time wait on the loop for a moment, or for someone to ring.
///
/// `@unchecked Sendable` because all of its state belongs to the loop's thread.
package final class LoopAlarm: LoopMember, @unchecked Sendable {
    private let loop: RedisEventLoop
    private var waiter: CheckedContinuation<Void, Never>?
    private var due: Nanoseconds?
    private var rung = false

    /// An alarm on this loop.
    package init(on loop: RedisEventLoop) { self.loop = loop }

    /// Waits so long, or until `ring`, which also counts when it came before the wait, or until the task is cancelled.
    package func wait(for duration: Duration) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                loop.execute { [self] in
                    if rung || Task.isCancelled {
                        rung = false
                        return continuation.resume()
                    }
                    precondition(waiter == nil, "one task at a time waits for an alarm")
                    waiter = continuation
                    due = MonotonicTime.now() &+ duration.nanoseconds
                    loop.add(self)
                }
            }
        } onCancel: {
            ring()
        }
    }

    /// Ends the present wait, or the next one.
    package func ring() {
        loop.execute { [self] in
            if waiter == nil { rung = true } else { finish() }
        }
    }

    private func finish() {
        loop.remove(self)
        due = nil
        let waiter = self.waiter
        self.waiter = nil
        waiter?.resume()
    }

    var interest: LoopInterest? { nil }
    var watched: LoopInterest?
    var deadline: Nanoseconds? { due }
    func ready(canRead: Bool) {}
    func cannotBePolled(errno: Int32) {}
    func flush() {}
    func tick(at now: Nanoseconds) { finish() }
}
