import FreshetTesting
import Hiredis
import Testing

@testable import Freshet

private struct Refused: Error {}
private struct Busy: Error { let pause: Duration }
private struct Other: Error {}

/// What becomes of an event whose handler throws.
@Suite struct RetryPolicyTests {
    private var policy: RetryPolicy {
        var policy = RetryPolicy()
        policy.on(Refused.self) { _ in .acknowledge }
        policy.on(Busy.self) { .retryAfter($0.pause) }
        return policy
    }

    private func settlement(_ error: any Error, _ failed: Int, _ policy: RetryPolicy) -> String {
        switch policy.next(after: error, failedAttempts: failed) {
        case .again: "again"
        case .settle(.scheduled(let pause, let failed, _)): "in \(pause), \(failed) failed"
        case .settle(let settlement): settlement.outcome.rawValue
        }
    }

    @Test func `the first rule that knows an error decides`() {
        #expect(settlement(Refused(), 1, policy) == "acknowledged")
        #expect(settlement(Busy(pause: .seconds(7)), 1, policy) == "in 7.0 seconds, 1 failed")
    }

    @Test func `an error without a rule is retried until the attempts are used up`() {
        #expect(settlement(Other(), 4, policy).hasSuffix("4 failed"))
        #expect(settlement(Other(), 5, policy) == "dead")
        #expect(settlement(Busy(pause: .seconds(7)), 5, policy) == "dead")
    }

    @Test func `a handler's own response wins over any rule`() {
        var policy = policy
        policy.on(Respond.self) { _ in .acknowledge }
        #expect(settlement(Respond(.deadLetter, because: "x"), 1, policy) == "dead")
        #expect(settlement(Respond(.invalid, because: "x"), 1, policy) == "invalid")
        #expect(
            settlement(Respond(.retryAfter(.seconds(2)), because: "x"), 1, policy)
                == "in 2.0 seconds, 1 failed")
    }

    @Test func `immediate retries come first and count as attempts`() {
        var policy = policy
        policy.immediateRetries = 2
        policy.maximumAttempts = 4
        #expect((1...4).map { settlement(Other(), $0, policy).prefix(2) } == ["ag", "ag", "in", "de"])
        policy.maximumAttempts = 2
        #expect(settlement(Other(), 2, policy) == "dead")
    }

    @Test func `pauses double up to the ceiling, with full jitter`() {
        var policy = RetryPolicy()
        policy.base = .milliseconds(100)
        policy.ceiling = .milliseconds(350)
        for (attempt, most) in [(1, 100), (2, 200), (3, 350), (40, 350)] {
            let pauses = (0..<200).map { _ in policy.pause(afterAttempt: attempt).inMilliseconds }
            #expect(pauses.allSatisfy { (1...most).contains($0) })
            #expect((pauses.max() ?? 0) > most * 3 / 4 && (pauses.min() ?? 0) < most / 4)
        }
    }
}

/// A breaker that can stand in an expectation.
private final class Breaker {
    private var breaker: CircuitBreaker
    init(_ policy: BreakerPolicy) { breaker = CircuitBreaker(policy) }
    var isClosed: Bool { breaker.isClosed }
    var opensAt: ContinuousClock.Instant? { breaker.opensAt }
    func permission(at now: ContinuousClock.Instant) -> CircuitBreaker.Permission {
        breaker.permission(at: now)
    }
    func probeStarted() { breaker.probeStarted() }
    func succeeded() -> Bool { breaker.succeeded() }
    func failed(isProbe: Bool, at now: ContinuousClock.Instant) -> Bool {
        breaker.failed(isProbe: isProbe, at: now)
    }
}

@Suite struct CircuitBreakerTests {
    private let start = ContinuousClock.now

    private func broken() -> Breaker {
        var policy = BreakerPolicy()
        policy.failures = 3
        policy.pause = .seconds(1)
        policy.ceiling = .seconds(3)
        let breaker = Breaker(policy)
        for count in 1...3 {
            #expect(breaker.permission(at: start) == .anything)
            #expect(breaker.failed(isProbe: false, at: start) == (count == 3))
        }
        return breaker
    }

    @Test func `failures in a row open it, a success in between starts the count anew`() {
        var policy = BreakerPolicy()
        policy.failures = 3
        let breaker = Breaker(policy)
        for _ in 0..<10 {
            #expect(!breaker.failed(isProbe: false, at: start))
            #expect(!breaker.failed(isProbe: false, at: start))
            #expect(!breaker.succeeded())
        }
        #expect(breaker.isClosed)
    }

    @Test func `open, it lets one probe through after the pause`() {
        let breaker = broken()
        #expect(breaker.permission(at: start + .milliseconds(999)) == .nothing)
        #expect(breaker.permission(at: start + .seconds(1)) == .probe)
        breaker.probeStarted()
        #expect(breaker.permission(at: start + .seconds(60)) == .nothing)
        #expect(breaker.succeeded())
        #expect(breaker.permission(at: start) == .anything)
    }

    @Test func `each probe that fails doubles the pause, up to the ceiling`() {
        let breaker = broken()
        var now = start
        for pause in [1, 2, 3, 3] {
            #expect(breaker.opensAt == now + .seconds(pause))
            now += .seconds(pause)
            breaker.probeStarted()
            #expect(!breaker.failed(isProbe: false, at: now), "one that began before says nothing")
            #expect(breaker.permission(at: now) == .nothing)
            #expect(!breaker.failed(isProbe: true, at: now))
        }
    }

    @Test func `without a limit it never opens`() {
        var policy = BreakerPolicy()
        policy.failures = 0
        let breaker = Breaker(policy)
        for _ in 0..<1000 { #expect(!breaker.failed(isProbe: false, at: start)) }
        #expect(breaker.isClosed)
    }
}

/// Retries, the breaker and batches on a real server.
@Suite struct FailingHandlerTests {

    @Test func `a handler of plain events sees the bytes, whatever they are`() async throws {
        try await Rig.with { rig in
            let seen = Record<String>()
            let subscription = Subscription(to: .orders, group: "a", on: rig.broker) {
                On("scan.taken") { delivery in
                    seen.add("\(delivery.event.contentType) \(delivery.event.data.count)")
                }
            }
            try await Publisher(to: .orders, on: rig.broker).publish(
                Event(
                    source: "s", type: "scan.taken", contentType: "image/png", data: EventData([0, 255, 1])))
            try await running(subscription) { try await eventually("seen") { seen.count == 1 } }
            #expect(seen.all == ["image/png 3"])
        }
    }
}
