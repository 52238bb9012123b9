internal import Freshet
internal import Hiredis
internal import Logging

/// Events that a server acknowledged and does not have any more: after a failover, whose new primary lacks what the old one had
/// not handed on, or a restart from an older snapshot.
///
/// Such a server has a lower high-water mark beside the log than the database (`OutboxBatch`). Each
/// publication finds that out by itself; a look every five seconds at all logs that were ever published to
/// finds it where nothing is published. The rows with higher marks are published again, before anything that
/// follows them, whenever they were published: as far back as the outbox keeps rows. What was trimmed, or
/// settled in a queue, is not lost: it is no higher than the mark.
extension OutboxRelay {
    private static let interval: Int64 = 5000
    private static let page = 500

    /// Looks at all logs, now and every few seconds.
    func watchLogs() async {
        while !Task.isCancelled {
            do { try await lookAtLogs() } catch {
                logger.debug("cannot look at the outbox's logs", metadata: ["reason": "\(error)"])
            }
            try? await Task.sleep(for: .milliseconds(Self.interval))
        }
    }

    /// Suspects those that lack something. One that does not answer holds up no other.
    private func lookAtLogs() async throws {
        let asked = ContinuousClock.now
        let (outbox, known) = try await database.read { transaction in
            // The marks first: a server's may be newer.
            (try InboxOutbox.name(in: transaction), try InboxOutbox.marks(in: transaction))
        }
        let areWhole = await withTaskGroup(of: Bool.self) { tasks in
            for (log, mark) in known {
                tasks.addTask {
                    let present = try? await publishers[log.topic, on: broker].mark(of: outbox, log.partition)
                    guard let present else { return false }
                    if present >= mark { return true }
                    logs.suspect([log])
                    wake()
                    return false
                }
            }
            return await tasks.reduce(true) { $0 && $1 }
        }
        if areWhole { logs.areWhole(at: asked) }
    }

    /// Has what these logs lack published again. Of rows whose log is there without its mark (it came from an
    /// archive, or the mark was removed) those stay as they are that stand where they were published.
    ///
    /// Only then the log is given a mark that is higher than all: whoever is interrupted before leaves it to
    /// the next.
    func restore(_ suspects: Set<OutboxLog>) async throws {
        guard let (lease, _) = try await whileRelaying({ _, _ in }) else { return }
        var lost: [OutboxLog: Int64] = [:]
        for log in suspects {
            do throws(FreshetError) {
                let mark = try await publishers[log.topic, on: broker].mark(of: lease.outbox, log.partition)
                if mark < logs.mark(of: log) { lost[log] = mark }
            } catch { _ = logs.failed(log) }
        }
        var counts: [OutboxLog: Int] = [:]
        var after = Int64.min
        while let least = lost.values.min() {
            let (place, limit) = (after, Self.page)
            let page = try await database.read {
                try InboxOutbox.published(above: least, after: place, limit: limit, in: $0)
            }
            let missing = await missing(page, &lost)
            let isOurs = try await whileRelaying { transaction, lease in
                guard lease.isContinued else { return false }
                for row in missing { try InboxOutbox.unpublish(row.sequence, in: transaction) }
                return true
            }
            guard isOurs?.1 == true else { return }
            for row in missing { counts[row.log, default: 0] += 1 }
            guard page.count == limit, let last = page.last else { break }
            after = last.sequence
        }
        try await raiseMarks(of: lost, counts)
    }

    /// The rows that are not in their logs. A log that cannot be asked is left for the next time.
    private func missing(_ page: [InboxOutbox.Published], _ lost: inout [OutboxLog: Int64]) async
        -> [InboxOutbox.Published]
    {
        var missing: [InboxOutbox.Published] = []
        for (log, mark) in lost {
            let rows = page.filter { $0.log == log && $0.mark > mark }
            // What waits for its time is put there again, which changes nothing where it is.
            missing += rows.filter { $0.id == nil }
            let placed = rows.compactMap { row in row.id.map { (row: row, id: $0) } }
            do throws(FreshetError) {
                for start in stride(from: 0, to: placed.count, by: 100) {
                    let part = placed[start..<min(start + 100, placed.count)]
                    let found = try await publishers[log.topic, on: broker].contains(
                        part.map { ($0.id, $0.row.source, $0.row.eventID) }, in: log.partition)
                    missing += zip(part, found).filter { !$1 }.map(\.0.row)
                }
            } catch {
                lost[log] = nil
                _ = logs.failed(log)
            }
        }
        return missing
    }

    private func raiseMarks(of lost: [OutboxLog: Int64], _ counts: [OutboxLog: Int]) async throws {
        guard !lost.isEmpty, let (lease, _) = try await whileRelaying({ _, _ in }), lease.isContinued
        else { return }
        var raised: [OutboxLog] = []
        for (log, mark) in lost {
            logs.restoring(log)
            let batch = OutboxBatch(
                outbox: lease.outbox, partition: log.partition, mark: lease.mark, previous: mark, events: [])
            do throws(FreshetError) {
                // Otherwise it has changed again, which the next batch finds.
                guard case .published = try await publishers[log.topic, on: broker].publish(batch) else {
                    continue
                }
                raised.append(log)
            } catch { _ = logs.failed(log) }
        }
        let restored = raised
        let isOurs = try await whileRelaying { transaction, next in
            guard next.isContinued else { return false }
            for log in restored { try InboxOutbox.set(lease.mark, of: log, in: transaction) }
            return true
        }
        guard isOurs?.1 == true else { return }
        for log in raised {
            logs.set(lease.mark, of: log)
            guard let count = counts[log] else { continue }
            logger.error(
                "a log has lost events of the outbox, publishing them again",
                metadata: ["log": "\(key(of: log))", "count": "\(count)"])
        }
    }
}
