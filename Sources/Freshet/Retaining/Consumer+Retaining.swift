internal import Hiredis
internal import Logging

extension Consumer {
    /// Cuts off what the topic no longer keeps, every ten seconds, on the partitions that this consumer looks
    /// after: with an order those that it owns. Removes the names of the dead as well. By itself, so that a
    /// node that is away holds up no claim.
    func retain() async {
        defer { clock.leave(retentionAlarm) }
        var holders: [GroupName] = []
        var unreached: Set<Int> = []
        var nextNames = clock.now + options.namesExpireAfter / 10
        while !isDraining && !Task.isCancelled {
            await clock.wait(on: retentionAlarm, for: .seconds(10))
            let partitions = watchedPartitions
            guard !isDraining, !partitions.isEmpty else { continue }
            do throws(FreshetError) {
                let report = try await broker.enforceRetention(of: topic, on: partitions)
                metrics.retention(report)
                if report.heldBackBy != holders, !report.heldBackBy.isEmpty {
                    logger.warning(
                        "events stay longer than the topic keeps them: groups still need them",
                        metadata: ["groups": "\(report.heldBackBy.map(\.rawValue).joined(separator: ", "))"])
                }
                if let failure = report.failures.first(where: { !unreached.contains($0.key) }) {
                    logger.notice(
                        "partitions cannot be trimmed",
                        metadata: [
                            "partitions": "\(report.failures.keys.sorted())", "reason": "\(failure.value)",
                        ])
                }
                (holders, unreached) = (report.heldBackBy, Set(report.failures.keys))
            } catch {
                logger.debug("cannot enforce the retention", metadata: ["reason": "\(error)"])
            }
            if clock.now >= nextNames {
                await removeDeadNames(on: partitions)
                nextNames = clock.now + options.namesExpireAfter / 10
            }
        }
    }

    /// The partitions that this consumer of the group looks after now.
    private var watchedPartitions: [Int] {
        if isOrdered { return tenures.indices.filter { tenures[$0].isOwned } }
        return shares.filter { clock.now < states[$0.index].watchesUntil + options.lease }
            .flatMap(\.partitions)
    }

    /// Removes the names of consumers that have died and hold nothing any more. One that lives and had nothing to do for so
    /// long gets its name back with its next event.
    private func removeDeadNames(on partitions: [Int]) async {
        for stream in partitions.flatMap({ share(of: $0).streams })
        where partitions.contains(stream.partition) {
            do throws(RedisError) {
                for consumer in try await broker.client.send(
                    .xinfoConsumers(stream.key, group.rawValue), timeout: Self.patience)
                where consumer.pending == 0 && consumer.idle > options.namesExpireAfter
                    && consumer.name != name.rawValue
                {
                    try await Scripts.leave.run(
                        on: broker.client, keys: [stream.key], arguments: [group.rawValue, consumer.name],
                        timeout: Self.patience)
                }
            } catch {
                logger.debug("cannot remove dead consumers", metadata: ["reason": "\(error)"])
            }
        }
    }
}
