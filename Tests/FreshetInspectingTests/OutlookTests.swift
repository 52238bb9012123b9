import Freshet
import Testing

@Suite struct OutlookTests {
    private typealias Figures = GroupOutlook.Figures

    /// A group with this many living consumers, and what came and went in two seconds.
    private func figures(
        waiting: Int = 0, pending: Int = 0, consumers: Int = 1, added: Int = 0, settled: Int = 0
    ) -> GroupOutlook.Figures {
        var figures = Figures()
        (figures.waiting, figures.pending, figures.consumers) = (waiting, pending, consumers)
        figures.backlogs = [waiting + pending]
        figures.pace = GroupPace(seconds: 2, partitions: [.init(added: added, settled: settled)])
        return figures
    }

    /// One whose partitions have an owner each.
    private func ordered(_ backlogs: [Int], owners: Int, added: Int, settled: Int) -> GroupOutlook.Figures {
        var figures = figures(
            waiting: backlogs.reduce(0, +), consumers: owners, added: added, settled: settled)
        (figures.backlogs, figures.owners, figures.ordering) = (backlogs, owners, .perKey)
        return figures
    }

    @Test func `nothing to do is idle, with retries that wait or without`() {
        #expect(GroupOutlook(figures()).state == .idle)
        #expect(GroupOutlook(figures()).sentence == "Idle: nothing waits.")
        var retries = figures()
        retries.delayed = 3
        #expect(GroupOutlook(retries).state == .idle)
        #expect(
            GroupOutlook(retries).sentence
                == "Idle: nothing waits but retries; 3 retries wait for their time.")
    }

    @Test func `as much settled as came keeps up, a few on their way or not`() {
        let outlook = GroupOutlook(figures(waiting: 3, pending: 5, added: 82, settled: 80))
        #expect(outlook.state == .keepsUp && outlook.sentence == "Keeps up: 41/s come in.")
        let slow = GroupOutlook(figures(pending: 2))
        #expect(slow.state == .keepsUp && slow.sentence == "Keeps up: nothing waits, 2 are being handled.")
    }

    @Test func `a backlog that shrinks says when it will be gone`() {
        let outlook = GroupOutlook(figures(waiting: 44_200, added: 0, settled: 680))
        #expect(outlook.state == .draining && outlook.sentence == "Draining: empty in 2m 10s at 340/s.")
        #expect(outlook.secondsUntilEmpty == 130)
        let busy = GroupOutlook(figures(waiting: 44_200, added: 82, settled: 762))
        #expect(busy.sentence == "Draining: empty in 2m 10s at 340/s (381/s done, 41/s come in).")
    }

    @Test func `where not all were counted the end is not promised`() {
        var figures = figures(waiting: 1_000_000, settled: 2_000)
        figures.isWaitingWhole = false
        let outlook = GroupOutlook(figures)
        #expect(outlook.sentence == "Draining: empty not before 16m 40s at 1,000/s.")
        #expect(outlook.secondsUntilEmpty == nil)
    }

    @Test func `a backlog that grows says how many replicas are missing`() {
        let outlook = GroupOutlook(figures(waiting: 500, pending: 64, added: 82, settled: 42))
        #expect(outlook.state == .fallingBehind && outlook.replicasMissing == 1)
        #expect(
            outlook.sentence
                == "Falls behind by 20/s: 1 more replica would do (one does 21/s, 41/s come in).")
        let more = GroupOutlook(figures(waiting: 500, consumers: 2, added: 164, settled: 60))
        #expect(more.replicasMissing == 4)
        #expect(more.sentence.contains("4 more replicas would do (one does 15/s, 82/s come in)"))
    }

    @Test func `as many in as out with a backlog keeps its distance`() {
        let outlook = GroupOutlook(figures(waiting: 5_000, added: 200, settled: 200))
        #expect(outlook.state == .keepsUp)
        #expect(
            outlook.sentence
                == "Keeps up, at a distance: 5,000 wait (50s of work), as many come in as are settled (100/s). 1 more replica would drain it."
        )
    }

    @Test func `more replicas than partitions would not help where an order is kept`() {
        let full = GroupOutlook(ordered([90, 110, 100, 95], owners: 4, added: 200, settled: 100))
        #expect(full.state == .fallingBehind && full.replicasMissing == nil)
        #expect(
            full.sentence.contains(
                "More replicas would not help: .perKey with 4 partitions feeds at most 4 owners"))
        let short = GroupOutlook(ordered([90, 110, 100, 95], owners: 2, added: 600, settled: 100))
        #expect(short.sentence.contains("2 more replicas would help, and not be enough"))
        let enough = GroupOutlook(ordered([90, 110, 100, 95], owners: 2, added: 190, settled: 100))
        #expect(enough.replicasMissing == 2)
    }

    @Test func `a partition that holds nearly everything is one owner's, however many there are`() {
        let outlook = GroupOutlook(ordered([10, 10, 10, 970], owners: 2, added: 200, settled: 100))
        #expect(outlook.replicasMissing == nil)
        #expect(
            outlook.sentence.hasSuffix(
                "More replicas would not help: partition 3 of 4 holds 97 % of the backlog."))
        var any = ordered([10, 10, 10, 970], owners: 0, added: 200, settled: 100)
        (any.ordering, any.consumers) = (.any, 2)
        #expect(GroupOutlook(any).replicasMissing == 2, "without an order all read everything")
    }

    @Test func `nobody there, nothing settled, nothing measured are said`() {
        var left = figures(waiting: 1_200, pending: 3, consumers: 0, added: 24)
        left.oldest = 300
        #expect(GroupOutlook(left).state == .noConsumers)
        #expect(
            GroupOutlook(left).sentence
                == "No consumer is there: 1,200 wait, 3 were left by dead ones, the oldest for 5m; 12/s come in."
        )
        #expect(GroupOutlook(figures(consumers: 0)).sentence == "No consumer is there, and nothing waits.")
        let stalled = GroupOutlook(figures(waiting: 120, pending: 64, consumers: 2, added: 10))
        #expect(stalled.state == .stalled)
        #expect(
            stalled.sentence
                == "Stalled: nothing was settled within 2s; 120 wait, 64 are with 2 consumers.")
        var unmeasured = figures(waiting: 7)
        unmeasured.pace = nil
        #expect(GroupOutlook(unmeasured).state == .unmeasured)
        unmeasured.waiting = 0
        #expect(GroupOutlook(unmeasured).state == .idle)
    }

    @Test func `figures are spelled as people read them`() {
        #expect(
            [0.04, 0.44, 12.2, 59.7, 130, 11_100, 180_000].map(Spelled.time) == [
                "0s", "0.4s", "12s", "1m", "2m 10s", "3h 5m", "2d 2h",
            ])
        #expect(
            [0, 999, 1_000, 1_234_567, -1_000].map(Spelled.count) == [
                "0", "999", "1,000", "1,234,567", "-1,000",
            ])
        #expect(
            [0, 0.01, 0.5, 3, 340.4, 12_345].map(Spelled.rate) == [
                "0/s", "0.1/s", "0.5/s", "3/s", "340/s", "12,345/s",
            ])
    }
}
