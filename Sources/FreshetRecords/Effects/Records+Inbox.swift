public import Freshet

extension Records {
    /// How many of these events a group's inbox in this database has: what comes again of them is skipped.
    public func handledCount(of events: [(source: String, id: String)], by group: GroupName) async throws
        -> Int
    {
        guard !events.isEmpty else { return 0 }
        return try await read { transaction in
            try stride(from: 0, to: events.count, by: 200).reduce(0) { count, start in
                let part = events[start..<min(start + 200, events.count)]
                return count + (try InboxOutbox.handledCount(of: part, by: group, in: transaction))
            }
        }
    }
}
