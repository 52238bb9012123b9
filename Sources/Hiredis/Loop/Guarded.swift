// A value that several threads share, behind a lock: `guarded.withLock { $0 += 1 }`.
//
// `Synchronization.Mutex`, except where the thread sanitizer looks on: on Linux it does not see that one (it is a futex
// of the standard library, which is not instrumented) and would report all that the lock protects. `make sanitize` sets
// FRESHET_VISIBLE_LOCKS.

#if FRESHET_VISIBLE_LOCKS
    internal import Glibc

    /// `@unchecked Sendable` because the value is touched with the lock held, and the pointers never change.
    @safe
    package final class Guarded<Value>: @unchecked Sendable {
        private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
        private var value: Value

        /// Protects this value.
        package init(_ value: sending Value) {
            self.value = value
            unsafe pthread_mutex_init(lock, nil)
        }

        deinit {
            unsafe pthread_mutex_destroy(lock)
            unsafe lock.deallocate()
        }

        /// Runs the body with the lock held.
        package func withLock<Result, Failure: Error>(
            _ body: (inout sending Value) throws(Failure) -> sending Result
        ) throws(Failure) -> sending Result {
            unsafe pthread_mutex_lock(lock)
            defer { unsafe pthread_mutex_unlock(lock) }
            return try body(&value)
        }
    }
#else
    package import Synchronization

    package typealias Guarded<Value> = Mutex<Value>
#endif
