internal import Freshet

extension EventCatalog {
    /// How the new export differs from this one; what breaks consumers comes first.
    public func changes(to new: EventCatalog) -> [SchemaChange] {
        let types = Set(schemas.keys.map(\.type)).union(new.schemas.keys.map(\.type)).sorted()
        let changes = types.flatMap { versionChanges($0, new) } + topicChanges(new)
        return changes.filter(\.isBreaking) + changes.filter { !$0.isBreaking }
    }

    private func versionChanges(_ type: EventType, _ new: EventCatalog) -> [SchemaChange] {
        let subject = ChangeSubject(name: type.rawValue)
        let (before, after) = (versions(of: type), new.versions(of: type))
        guard !after.isEmpty else {
            return [
                subject.breaking(
                    "$", "the event is gone",
                    .both("programs still wait for it, and the log may have some that nobody can read"),
                    instead: "stop publishing it, and keep its payload as long as the log has some")
            ]
        }
        var changes: [SchemaChange] = []
        if before.isEmpty { changes.append(subject.compatible("$", "new event", "nobody relies on it yet")) }
        for version in Set(before).union(after).sorted() {
            let identity = EventVersion(type, version)
            let subject = ChangeSubject(identity)
            switch (schemas[identity], new.schemas[identity]) {
            case (let old?, let new?): changes += old.changes(to: new, subject)
            case (.some, nil):
                changes.append(
                    subject.breaking(
                        "$", "the version is gone", .forTheLog("nobody can read those of this version"),
                        instead: "keep its payload, and the upcasts on the way to the newest version"))
            case (nil, _) where !before.isEmpty:
                changes.append(
                    subject.compatible(
                        "$", "new version", "the older ones can still be read",
                        mind: "replace programs that read it before those that write it"))
            default: break
            }
        }
        return changes + gaps(type, before, after)
    }

    /// Numbers that were skipped; one that was there before is gone, which has been said.
    private func gaps(_ type: EventType, _ before: [Int], _ after: [Int]) -> [SchemaChange] {
        zip([0] + after, after).filter { earlier, version in
            version != earlier + 1 && !before.contains { $0 > earlier && $0 < version }
        }.map { earlier, version in
            ChangeSubject(EventVersion(type, version)).breaking(
                "$", earlier == 0 ? "there is no version 1" : "it follows version \(earlier)",
                .both("no upcast leads from one to the next"), instead: "count versions from 1 without a gap")
        }
    }

    private func versions(of type: EventType) -> [Int] {
        schemas.keys.filter { $0.type == type }.map(\.version).sorted()
    }

    private func topicChanges(_ new: EventCatalog) -> [SchemaChange] {
        guard hasTopics, new.hasTopics else { return [] }
        let types = Set(new.places.map(\.type))
        var changes: [SchemaChange] = []
        // That an event is gone is said once.
        for place in places.sorted() where types.contains(place.type) {
            let subject = ChangeSubject(name: place.type.rawValue)
            if !new.places.contains(place) || (sent.contains(place) && !new.sent.contains(place)) {
                let elsewhere = new.sent.filter { $0.type == place.type }.map(\.topic.rawValue).sorted()
                let change =
                    elsewhere.isEmpty
                    ? "nobody sends it any more" : "it is on \(elsewhere.joined(separator: ", "))"
                changes.append(
                    subject.breaking(
                        "topic \(place.topic)", change,
                        .both("programs that read '\(place.topic)' do not see it"),
                        instead: "publish it on both topics until nobody reads it on '\(place.topic)'"))
            }
        }
        let known = Set(places.map(\.type))
        for place in new.places.subtracting(places).sorted() where known.contains(place.type) {
            changes.append(
                ChangeSubject(name: place.type.rawValue).compatible(
                    "topic \(place.topic)", "it is on this topic too", "nobody relies on it there yet"))
        }
        return changes
    }
}

extension JSONSchema {
    /// How another schema of the same version of the same event differs from this one; what breaks consumers comes first.
    ///
    /// - Parameter name: what the changes are said of.
    public func changes(to new: JSONSchema, of name: String) -> [SchemaChange] {
        let changes = changes(to: new, ChangeSubject(name: name))
        return changes.filter(\.isBreaking) + changes.filter { !$0.isBreaking }
    }

    func changes(to new: JSONSchema, _ subject: ChangeSubject) -> [SchemaChange] {
        var comparison = SchemaComparison(subject)
        comparison.compare(json, new.json)
        return comparison.changes
    }
}
