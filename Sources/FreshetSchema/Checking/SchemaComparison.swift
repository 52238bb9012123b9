/// Looks for the differences of two schemas of the same version of the same event.
///
/// Both have to read what the other writes, so nearly every change of what is allowed breaks somebody.
struct SchemaComparison {
    let subject: ChangeSubject
    private(set) var changes: [SchemaChange] = []

    init(_ subject: ChangeSubject) { self.subject = subject }

    mutating func compare(_ old: JSONValue, _ new: JSONValue, at path: String = "$") {
        guard old != new else { return }
        guard let old = old.object, let new = new.object else {
            return note(path, "\(old.line) became \(new.line)", .both("this cannot be judged"))
        }
        guard compareTypes(old, new, path) else { return }
        compareValues(old, new, path)
        compareRange(old, new, path)
        compareMembers(old, new, path)
        if let old = old["items"], let new = new["items"] { compare(old, new, at: path + "[*]") }
        compareOthers(old, new, path)
    }

    mutating func note(_ path: String, _ change: String, _ reason: Break) {
        changes.append(subject.breaking(path, change, reason))
    }

    mutating func noteCompatible(_ path: String, _ change: String, _ why: String) {
        changes.append(subject.compatible(path, change, why))
    }

    /// Something that allows less or more than it did.
    mutating func note(_ path: String, _ change: String, narrower: Bool, wider: Bool) {
        let (log, readers) = ("what was allowed may be in it", "they do not expect what was not allowed")
        switch (narrower, wider) {
        case (true, false): note(path, change, .forTheLog(log))
        case (false, true): note(path, change, .forOldReaders(readers))
        case (true, true): note(path, change, .both("neither reads what the other allows"))
        case (false, false): noteCompatible(path, change, "it allows the same")
        }
    }

    /// Whether it makes sense to look on.
    private mutating func compareTypes(
        _ old: [String: JSONValue], _ new: [String: JSONValue], _ path: String
    ) -> Bool {
        let (before, after) = (Self.types(old), Self.types(new))
        guard before != after else { return true }
        func text(_ types: Set<String>?) -> String { types?.sorted().joined(separator: " or ") ?? "anything" }
        func reads(_ types: Set<String>?, _ others: Set<String>?) -> Bool {
            guard let types else { return true }
            guard let others else { return false }
            return others.allSatisfy { types.contains($0) || ($0 == "integer" && types.contains("number")) }
        }
        let (narrower, wider) = (!reads(after, before), !reads(before, after))
        note(path, "type \(text(before)) became \(text(after))", narrower: narrower, wider: wider)
        return !(narrower || wider) || before?.subtracting(["null"]) == after?.subtracting(["null"])
    }

    private static func types(_ schema: [String: JSONValue]) -> Set<String>? {
        switch schema["type"] {
        case .string(let type): [type]
        case .array(let types): Set(types.compactMap(\.string))
        default: nil
        }
    }

    private mutating func compareValues(
        _ old: [String: JSONValue], _ new: [String: JSONValue], _ path: String
    ) {
        func values(_ schema: [String: JSONValue]) -> Set<JSONValue>? {
            (schema["enum"]?.array ?? schema["const"].map { [$0] }).map { Set($0) }
        }
        func list(_ values: Set<JSONValue>) -> String { values.map(\.line).sorted().joined(separator: ", ") }
        switch (values(old), values(new)) {
        case (nil, nil): break
        case (let before?, let after?):
            let (gone, added) = (before.subtracting(after), after.subtracting(before))
            // That `null` came or went is said with the type.
            if !gone.subtracting([.null]).isEmpty {
                note(path, "without the value \(list(gone))", narrower: true, wider: false)
            }
            if !added.subtracting([.null]).isEmpty {
                note(path, "with the value \(list(added))", narrower: false, wider: true)
            }
        case (nil, let after?): note(path, "only \(list(after))", narrower: true, wider: false)
        case (let before?, nil): note(path, "not only \(list(before))", narrower: false, wider: true)
        }
    }
}
