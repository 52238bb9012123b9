extension SchemaComparison {
    mutating func compareMembers(_ old: [String: JSONValue], _ new: [String: JSONValue], _ path: String) {
        let (before, after) = (ObjectMembers(old), ObjectMembers(new))
        for name in Set(before.schemas.keys).union(after.schemas.keys).sorted() {
            let place = Self.path(path, name)
            switch (before.schemas[name], after.schemas[name]) {
            case (let old?, let new?):
                switch (before.required.contains(name), after.required.contains(name)) {
                case (true, false):
                    note(place, "required became optional", .forOldReaders("they cannot do without it"))
                case (false, true):
                    note(place, "optional became required", .forTheLog("some may lack it"))
                default: break
                }
                compare(old, new, at: place)
            case (.some, nil): removed(name, place, before, after)
            case (nil, .some): added(name, place, before, after)
            case (nil, nil): break
            }
        }
        compareRest(before.rest, after.rest, path)
    }

    private mutating func removed(_ name: String, _ path: String, _ old: ObjectMembers, _ new: ObjectMembers)
    {
        if old.required.contains(name) {
            note(path, "required, removed", .forOldReaders("they cannot do without it"))
        } else if new.isClosed {
            note(path, "optional, removed", .forTheLog("some may have it, and other members are not allowed"))
        } else {
            noteCompatible(path, "optional, removed", "nobody could rely on it")
        }
    }

    private mutating func added(_ name: String, _ path: String, _ old: ObjectMembers, _ new: ObjectMembers) {
        if new.required.contains(name) {
            note(path, "required, added", .forTheLog("they lack it"))
        } else if old.isClosed {
            note(path, "optional, added", .forOldReaders("other members are not allowed there"))
        } else {
            noteCompatible(path, "optional, added", "those who do not know it pass over it")
        }
    }

    /// What members may be like that have no schema of their own.
    private mutating func compareRest(_ old: JSONValue, _ new: JSONValue, _ path: String) {
        switch (old, new) {
        case _ where old == new: break
        case (_, false): note(path, "other members are not allowed any more", narrower: true, wider: false)
        case (false, _): note(path, "other members are allowed", narrower: false, wider: true)
        case (true, _): note(path, "other members must be \(new.line)", narrower: true, wider: false)
        case (_, true): note(path, "other members may be anything", narrower: false, wider: true)
        default: compare(old, new, at: path + ".*")
        }
    }

    private static func path(_ path: String, _ name: String) -> String {
        let isPlain = name.utf8.allSatisfy { byte in
            (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte == 95
        }
        return isPlain ? "\(path).\(name)" : "\(path)[\(JSONValue.string(name).line)]"
    }
}

/// What a schema says of an object's members.
private struct ObjectMembers {
    let schemas: [String: JSONValue]
    let required: Set<String>
    let rest: JSONValue
    var isClosed: Bool { rest == false }

    init(_ schema: [String: JSONValue]) {
        required = Set((schema["required"]?.array ?? []).compactMap(\.string))
        let unnamed = Dictionary(uniqueKeysWithValues: required.map { ($0, JSONValue.object([:])) })
        schemas = (schema["properties"]?.object ?? [:]).merging(unnamed) { named, _ in named }
        rest = schema["additionalProperties"] ?? true
    }
}
