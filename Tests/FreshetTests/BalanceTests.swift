import FreshetTesting
import Testing

@testable import Freshet

/// How partitions are shared out, without a server.
@Suite struct BalanceTests {
    private func members(_ owned: [Set<Int>]) -> [Balance.Member] {
        owned.enumerated().map { .init(name: ConsumerName(unchecked: "c\($0)"), owned: $1) }
    }

    @Test func `one consumer takes all, more than partitions stand by`() {
        let alone = Balance.plan(for: "c0", among: members([[]]), partitions: 3)
        #expect(Set(alone.take) == [0, 1, 2] && alone.give.isEmpty)
        let many = members([[0], [1], []])
        #expect(Balance.plan(for: "c2", among: many, partitions: 2) == .init())
    }

    @Test func `those who have more than their part give, and only that`() {
        let all = members([[0, 1, 2, 3], []])
        #expect(Balance.plan(for: "c0", among: all, partitions: 4) == .init(give: [2, 3]))
        #expect(Balance.plan(for: "c1", among: all, partitions: 4) == .init(isWaiting: true))
        let uneven = members([[0], [1, 2]])
        #expect(Balance.plan(for: "c0", among: uneven, partitions: 3) == .init(), "who has one more keeps it")
        #expect(Balance.plan(for: "c1", among: uneven, partitions: 3) == .init())
    }

    @Test func `who is leaving has no part any more, and what it still owns is not free`() {
        var all = members([[0, 1], [2], []])
        all[0].isLeaving = true
        #expect(
            Balance.plan(for: "c1", among: all, partitions: 4) == .init(take: [3], free: [3], isWaiting: true)
        )
        #expect(Balance.plan(for: "c0", among: all, partitions: 4) == .init())
    }

    @Test func `what stays free is taken by anyone, since who was to take it may be dead`() {
        let all = members([[0], [1], []])
        let first = Balance.plan(for: "c0", among: all, partitions: 4)
        #expect(first.free == [2, 3] && first.take.count == 1)
        let second = Balance.plan(for: "c0", among: all, partitions: 4, abandoned: first.free)
        #expect(Set(second.take) == [2, 3])
    }

    @Test func `random comings and goings end in balance, and no partition without owner`() {
        let seed = UInt64.random(in: 0 ... .max)
        var random = Seeded(seed)
        for _ in 0..<300 {
            let partitions = Int(random.next() % 16) + 1
            var owned = (0..<(random.next() % 12 + 1)).map { _ in Set<Int>() }
            for partition in 0..<partitions {
                // Some have no owner.
                let who = Int(random.next() % UInt64(owned.count + 2))
                if who < owned.count { owned[who].insert(partition) }
            }
            var rounds = 0
            while rounds < 8 {
                rounds += 1
                let plans = owned.indices.map {
                    Balance.plan(
                        for: ConsumerName(unchecked: "c\($0)"), among: members(owned), partitions: partitions)
                }
                for (index, plan) in plans.enumerated() { owned[index].subtract(plan.give) }
                for (index, plan) in plans.enumerated() {
                    for partition in plan.take where !owned.contains(where: { $0.contains(partition) }) {
                        owned[index].insert(partition)
                    }
                }
            }
            let counts = owned.map(\.count)
            #expect(counts.reduce(0, +) == partitions, "seed \(seed)")
            #expect((counts.max() ?? 0) - (counts.min() ?? 0) <= 1, "\(counts), seed \(seed)")
        }
    }
}
