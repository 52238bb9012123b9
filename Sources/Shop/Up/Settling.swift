internal import Freshet
internal import FreshetRecords

/// How far the groups are.
struct GroupProgress: Sendable {
    let group: GroupName
    var done = 0
    var waiting = 0
    var pending = 0
    var delayed = 0
    var dead = 0
    var invalid = 0

    var isSettled: Bool { waiting == 0 && pending == 0 && delayed == 0 }
}

/// Looks at the shop from outside, and says when nothing is left to do.
struct Observer: Sendable {
    let folder: ShopFolder
    let broker: Broker

    /// Each group over all topics it reads.
    func progress() async throws -> [GroupProgress] {
        var groups = ShopTopology.services.map { GroupProgress(group: GroupName(unchecked: $0)) }
        for topic in Set(ShopTopology.readings.map(\.topic.name)).sorted() {
            for report in try await broker.groupReports(topic: topic) {
                guard let index = groups.firstIndex(where: { $0.group == report.group }) else { continue }
                groups[index].done += max(0, report.length - report.waiting - report.pending)
                groups[index].waiting += report.waiting
                groups[index].pending += report.pending
                groups[index].delayed += report.delayed
                groups[index].dead += report.dead
                groups[index].invalid += report.invalid
            }
        }
        return groups
    }

    /// Whether nothing is waiting, pending, delayed, or still in an outbox.
    ///
    /// In this order: an acknowledged event's follow-ups were in an outbox before it was acknowledged, so they are seen
    /// either there or, when they have left it, in the log in the second look.
    func isSettled() async throws -> Bool {
        guard try await progress().allSatisfy(\.isSettled), try await groupsExist() else { return false }
        for service in ShopTopology.services {
            // The groups are there, so their workers have made the tables before.
            let rows = try await folder.openDatabase(of: service).read {
                try $0.query("SELECT 1 AS found FROM outbox WHERE published_at IS NULL LIMIT 1")
            }
            guard rows.isEmpty else { return false }
        }
        return try await progress().allSatisfy(\.isSettled)
    }

    /// Before a worker has made its group nobody says that the group waits for anything.
    private func groupsExist() async throws -> Bool {
        for reading in ShopTopology.readings {
            let reports = try await broker.groupReports(topic: reading.topic.name, group: reading.group)
            guard !reports.isEmpty else { return false }
        }
        return true
    }
}
