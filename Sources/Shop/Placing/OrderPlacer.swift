internal import Freshet
internal import FreshetService
internal import ShopEvents

/// Publishes orders as `order.placed`, in the order of the file.
struct OrderPlacer: Sendable {
    let broker: Broker
    /// Orders a second, at most; nil for as fast as it goes.
    var rate: Double?

    private static let batch = 256

    /// Publishes all good orders; calls back with the number after each batch. Repeating it changes no record: an event's
    /// id is made from its order's.
    func place(_ orders: CheckedOrders, onPlaced: (Int) -> Void) async throws {
        defer { orders.cleanUp() }
        let publisher = Publisher(to: .orders, on: broker)
        // A tenth of a second's worth at a time keeps a slow rate even.
        let size = rate.map { max(1, min(Self.batch, Int($0 / 10))) } ?? Self.batch
        let started = ContinuousClock.now
        var placed = 0
        var batch: [Event] = []
        var file = try orders.open()
        var isAtEnd = false
        while !isAtEnd {
            try Task.checkCancellation()
            if let row = try file.next() {
                if case .success(let order) = row {
                    batch.append(try Event(order, source: "shop", id: order.eventID, key: order.orderId))
                }
            } else {
                isAtEnd = true
            }
            guard batch.count == size || (isAtEnd && !batch.isEmpty) else { continue }
            try await publish(batch, by: publisher)
            placed += batch.count
            onPlaced(batch.count)
            batch = []
            if let rate {
                let due = started + .seconds(Double(placed) / rate)
                try await Task.sleep(until: due, clock: .continuous)
            }
        }
    }

    /// Waits for a server that is away. After "may have run" the same events go again: their ids are the same.
    private func publish(_ events: [Event], by publisher: Publisher) async throws {
        var pause = Duration.milliseconds(50)
        let giveUp = ContinuousClock.now + .seconds(60)
        while true {
            do throws(FreshetError) {
                for result in try await publisher.publish(events) { _ = try result.get() }
                return
            } catch {
                guard error.isRetryable, ContinuousClock.now < giveUp else { throw error }
            }
            try await Task.sleep(for: pause)
            pause = min(pause * 2, .seconds(1))
        }
    }
}
