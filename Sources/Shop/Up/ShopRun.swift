internal import Freshet
internal import FreshetRecords
internal import FreshetService
internal import Synchronization
internal import UnixSignals

/// One run of the shop: workers, placing, watching, until it is settled or someone asks it to stop.
struct ShopRun: Sendable {
    let folder: ShopFolder
    let broker: Broker
    let pool: WorkerPool
    let exitsWhenSettled: Bool
    /// Trapped before anything was started, so that nothing is left running.
    let signals: UnixSignalsSequence

    /// How far placing is, for those who watch.
    private final class Placing: Sendable {
        let count = Atomic(0)
        let isDone = Atomic(false)
        var placed: Int { count.load(ordering: .relaxed) }
    }

    func run(placing orders: CheckedOrders?) async throws -> Summary {
        let placing = Placing()
        let started = ContinuousClock.now
        var ended = started
        try await withThrowingTaskGroup(of: Bool.self) { tasks in
            tasks.addTask {
                try await pool.run()
                return true
            }
            tasks.addTask {
                for await _ in signals { break }
                if !Task.isCancelled { StandardError.write("shop: draining") }
                return true
            }
            tasks.addTask {
                if let orders {
                    try await OrderPlacer(broker: broker).place(orders) {
                        placing.count.add($0, ordering: .relaxed)
                    }
                }
                placing.isDone.store(true, ordering: .releasing)
                return false
            }
            tasks.addTask {
                try await watch(placing)
                return true
            }
            let result: Result<Void, any Error>
            do {
                // Until the first that says it is over.
                while let isOver = try await tasks.next(), !isOver {}
                result = .success(())
            } catch {
                result = .failure(error)
            }
            ended = ContinuousClock.now
            tasks.cancelAll()
            await pool.stop()
            try result.get()
        }
        let seconds = (ended - started) / .seconds(1)
        return try await Summariser(folder: folder, broker: broker).summary(
            placed: placing.placed, seconds: seconds)
    }

    /// Shows progress; returns when everything is settled and that was asked for.
    private func watch(_ placing: Placing) async throws {
        let observer = Observer(folder: folder, broker: broker)
        var display = ProgressDisplay()
        while !Task.isCancelled {
            do {
                let isPlaced = placing.isDone.load(ordering: .acquiring)
                display.show(placed: placing.placed, groups: try await observer.progress())
                if exitsWhenSettled, isPlaced, try await observer.isSettled() {
                    display.show(placed: placing.placed, groups: try await observer.progress())
                    return
                }
            } catch let error as FreshetError where error.isRetryable {
                // The server is away: the workers wait for it, and so do we.
            } catch let error as RecordsError where error.code == .unavailable {
                // And for the database.
            }
            try await Task.sleep(for: .milliseconds(200))
        }
    }
}
