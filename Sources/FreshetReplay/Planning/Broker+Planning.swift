public import Freshet
internal import Hiredis

extension Broker {
    /// Makes a plan of a request, which fixes the range to what there is now, and counts what it holds. Reads the range once,
    /// or twice for the first or last so many; changes nothing.
    ///
    /// Throws `notFound`, with the names that there are, for a topic or group that does not exist, and `refused` for a range that ends
    /// before it begins, a source and target that do not go together, or more events than the limit.
    ///
    /// - Parameters:
    ///   - handled: how many of these events the group's inbox has; nil when its database is not looked at.
    ///   - onProgress: called now and then with how many entries were looked at.
    public func plan(
        _ request: ReplayRequest, handled: (([(source: String, id: String)]) async throws -> Int)? = nil,
        onProgress: (Int) -> Void = { _ in }
    ) async throws -> ReplayPlan {
        let topic = try await planned(topicOf: request)
        let now = try await serverTime()
        let (from, to) = (request.from.lowerBound(now: now), request.to.upperBound(now: now))
        guard from <= to || request.from == .end || request.to == .start else {
            throw FreshetError(.refused, "the range begins (\(from)) behind its end (\(to))")
        }
        var plan = ReplayPlan(
            id: EventID.make(), planned: now.description, source: request.source, topic: topic.name,
            from: from, to: to, parts: [], filter: request.filter, target: request.target,
            pace: request.pace, limits: request.limits, selected: ReplaySurvey(), estimatedSeconds: 0)
        let reader = try await ReplayReader(plan, on: self)
        for partition in 0..<topic.partitions
        where request.filter.partitions.isEmpty || request.filter.partitions.contains(partition) {
            let newest = try await reader.newest(ofPartition: partition)
            plan.parts.append(.init(partition: partition, from: from, to: min(to, newest)))
        }
        let started = ContinuousClock.now
        if let most = request.first { try await plan.keep(most, from: reader, isBetter: <) }
        if let most = request.last { try await plan.keep(most, from: reader, isBetter: >) }
        try await survey(&plan, reader, handled, onProgress)
        if plan.source == .history() { plan.logBegins = try await logBegins(plan) }
        plan.selected.silenced = try await silenced(in: plan)
        if let most = request.limits.events, plan.selected.count > most {
            throw FreshetError(
                .refused, "\(plan.selected.count) events are selected, and at most \(most) may be")
        }
        plan.estimatedSeconds = plan.estimate(surveyTook: ContinuousClock.now - started)
        return plan
    }

    private func planned(topicOf request: ReplayRequest) async throws -> Topic {
        for partition in request.filter.partitions.sorted() {
            let topic = try await topic(request.topic, of: request.source)
            guard partition < topic.partitions else {
                throw FreshetError(
                    .notFound,
                    "no partition \(partition) of '\(request.topic)' (it has \(topic.partitions))")
            }
        }
        if let target = request.target.topic { _ = try await existingTopic(target) }
        guard let group = request.target.group else {
            if request.source.kind == .dead {
                throw FreshetError(.refused, "dead letters are a group's: name it as the target")
            }
            return try await topic(request.topic, of: request.source)
        }
        return try await existingTopic(request.topic, readBy: group)
    }

    private func survey(
        _ plan: inout ReplayPlan, _ reader: ReplayReader,
        _ handled: (([(source: String, id: String)]) async throws -> Int)?, _ onProgress: (Int) -> Void
    ) async throws {
        var seen = 0
        if handled != nil { plan.selected.skipped = 0 }
        for (index, part) in plan.parts.enumerated() {
            guard let range = part.range else { continue }
            var last: StreamID?
            var delivered: StreamID?
            if let group = plan.target.group, plan.source.kind != .dead {
                delivered = try await position(of: group, topic: plan.topic, partition: part.partition)?
                    .delivered
            }
            var pages = try await reader.pages(ofPartition: part.partition, in: range)
            while let page = try await pages.next() {
                let selected =
                    plan.filter.isAnything ? page : page.filter(plan.filter.includes)
                if let handled {
                    let names = selected.map {
                        (source: $0.field("source")?.string ?? "", id: $0.field("id")?.string ?? "")
                    }
                    plan.selected.skipped? += try await handled(names)
                }
                last = selected.last?.id ?? last
                for entry in selected {
                    plan.selected.add(
                        entry, partition: part.partition,
                        isAhead: plan.target.group != nil && plan.source.kind != .dead
                            && delivered.map { entry.id > $0 } ?? true)
                }
                seen += page.count
                onProgress(seen)
            }
            // What is added to a file later is not of the plan.
            if let last { plan.parts[index].to = min(part.to, last) }
        }
    }
}

extension Broker {
    /// Where the range is cut by what a log has no more; nil when it is not.
    private func logBegins(_ plan: ReplayPlan) async throws -> StreamID? {
        var latest: StreamID?
        for part in plan.parts {
            let info: StreamInfo
            do throws(RedisError) {
                info = try await client.send(.xinfoStream(keys(plan.topic, part.partition).events))
            } catch { continue }
            guard let first = info.firstID, let added = info.entriesAdded, added > info.length,
                part.from < first
            else { continue }
            latest = max(latest ?? first, first)
        }
        return latest
    }

    /// How many of each type have handlers, and none that is for redeliveries.
    private func silenced(in plan: ReplayPlan) async throws -> [String: Int] {
        guard let group = plan.target.group,
            let handled = try await handledTypes(of: group, topic: plan.topic)
        else { return [:] }
        return plan.selected.types.filter { type, _ in
            handled[EventType(unchecked: type)].map { !$0.contains(.redelivery) } ?? false
        }
    }
}

extension ReplayPlan {
    /// Narrows the parts to so many of the entries that are meant: the smallest, or the largest, of all partitions.
    fileprivate mutating func keep(
        _ most: Int, from reader: ReplayReader, isBetter: (StreamID, StreamID) -> Bool
    ) async throws {
        var chosen: [(id: StreamID, partition: Int)] = []
        func cut() {
            chosen.sort {
                $0.id == $1.id ? $0.partition < $1.partition : isBetter($0.id, $1.id)
            }
            chosen.removeLast(max(0, chosen.count - most))
        }
        for part in parts {
            guard let range = part.range else { continue }
            var pages = try await reader.pages(ofPartition: part.partition, in: range)
            while let page = try await pages.next() {
                for entry in page where filter.includes(entry) { chosen.append((entry.id, part.partition)) }
                if chosen.count > 2 * most + 1000 { cut() }
            }
        }
        cut()
        parts = parts.compactMap { part in
            let ids = chosen.filter { $0.partition == part.partition }.map(\.id)
            guard let first = ids.min(), let last = ids.max() else { return nil }
            return Part(partition: part.partition, from: first, to: last)
        }
    }

    fileprivate func estimate(surveyTook survey: Duration) -> Double {
        // Looking and putting cost about the same.
        var seconds = 2 * survey.seconds
        if let rate = pace.rate { seconds = max(seconds, Double(selected.count) / rate) }
        if let speed = pace.speed, let first = selected.first, let last = selected.last {
            let span = Double(last.milliseconds - first.milliseconds) / 1000
            let longest = pace.longestGap.map { $0 * Double(selected.count) } ?? .infinity
            seconds = max(seconds, min(span, longest) / speed)
        }
        return seconds
    }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
