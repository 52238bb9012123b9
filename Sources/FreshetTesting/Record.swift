internal import Hiredis
internal import Synchronization

/// What handlers saw, from any thread, in the order in which they said so.
public final class Record<Element: Sendable>: Sendable {
    private let elements = Guarded<[Element]>([])

    /// Nothing yet.
    public init() {}

    /// Adds one.
    public func add(_ element: Element) { elements.withLock { $0.append(element) } }

    /// All there are.
    public var all: [Element] { elements.withLock { $0 } }
    /// How many there are.
    public var count: Int { elements.withLock { $0.count } }
}

/// Holds handlers until it is opened.
public final class Gate: Sendable {
    private let state = Guarded<(isOpen: Bool, waiters: [CheckedContinuation<Void, Never>])>((false, []))

    /// Shut.
    public init() {}

    /// Waits until the gate is open.
    public func wait() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiters.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }

    /// Whether it was opened.
    public var isOpen: Bool { state.withLock { $0.isOpen } }

    /// Lets all pass, for ever.
    public func open() {
        let waiters = state.withLock { state in
            state.isOpen = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }
}

/// When the events of each key ran, from any thread: whether they kept their order.
package final class KeyHistory: Sendable {
    private struct State {
        var running: [String: Int] = [:]
        var done: [String: [Int]] = [:]
        var overlaps = 0
        var mostAtOnce = 0
    }
    private let state = Guarded(State())

    package init() {}

    package func begin(_ key: String, _ number: Int) {
        state.withLock { state in
            if state.running[key] != nil { state.overlaps += 1 }
            state.running[key] = number
            state.mostAtOnce = max(state.mostAtOnce, state.running.count)
        }
    }
    package func end(_ key: String) { state.withLock { $0.running[key] = nil } }
    package func done(_ key: String, _ number: Int) {
        state.withLock { $0.done[key, default: []].append(number) }
    }
    package func forgetRunning() { state.withLock { $0.running = [:] } }

    package var running: Int { state.withLock { $0.running.count } }
    package var overlaps: Int { state.withLock { $0.overlaps } }
    package var mostAtOnce: Int { state.withLock { $0.mostAtOnce } }
    /// How many different events are done.
    package var count: Int { state.withLock { $0.done.values.reduce(0) { $0 + Set($1).count } } }
    /// The keys whose events did not happen in order, each counted where it was done first.
    package var disorder: [String] {
        state.withLock { state in
            state.done.compactMap { key, numbers in
                var seen: Set<Int> = []
                let first = numbers.filter { seen.insert($0).inserted }
                return first == first.sorted() ? nil : "\(key): \(first)"
            }
        }
    }
}
