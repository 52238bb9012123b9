internal import Hiredis
internal import Logging

extension Consumer {
    /// Cuts off what the topic no longer keeps, every ten seconds, and removes the names of the dead, while it is this consumer of the group that looks after such
    /// things. By itself, so that a node that is away holds up no claim.
    func retain() async {
        defer { clock.leave(retentionAlarm) }
        var holders: [GroupName] = []
        var nextNames = clock.now + options.namesExpireAfter / 10
        while !isDraining && !Task.isCancelled {
            await clock.wait(on: retentionAlarm, for: .seconds(10))
            guard !isDraining,
                isOrdered ? tenures[0].isOwned : clock.now < states[0].watchesUntil + options.lease
            else {
                continue
            }
            do throws(FreshetError) {
                let report = try await broker.enforceRetention(of: topic)
                metrics.retention(report)
                if report.heldBackBy != holders, !report.heldBackBy.isEmpty {
                    logger.warning(
                        "events stay longer than the topic keeps them: groups still need them",
                        metadata: ["groups": "\(report.heldBackBy.map(\.rawValue).joined(separator: ", "))"])
                }
                holders = report.heldBackBy
            } catch {
                logger.debug("cannot enforce the retention", metadata: ["reason": "\(error)"])
            }
            if clock.now >= nextNames {
                await removeDeadNames()
                nextNames = clock.now + options.namesExpireAfter / 10
            }
        }
    }

    /// Removes the names of consumers that have died and hold nothing any more. One that lives and had nothing to do for so
    /// long gets its name back with its next event.
    private func removeDeadNames() async {
        do throws(RedisError) {
            for stream in shares.flatMap(\.streams) {
                for consumer in try await broker.client.send(.xinfoConsumers(stream.key, group.rawValue))
                where consumer.pending == 0 && consumer.idle > options.namesExpireAfter
                    && consumer.name != name.rawValue
                {
                    try await Scripts.leave.run(
                        on: broker.client, keys: [stream.key], arguments: [group.rawValue, consumer.name])
                }
            }
        } catch {
            logger.debug("cannot remove dead consumers", metadata: ["reason": "\(error)"])
        }
    }
}
