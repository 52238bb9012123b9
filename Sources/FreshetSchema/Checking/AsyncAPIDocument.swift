/// An AsyncAPI 3 document, its references followed.
struct AsyncAPIDocument {
    private let root: JSONValue

    init(_ root: JSONValue) throws(SchemaError) {
        guard let version = root["asyncapi"]?.string, version.hasPrefix("3.") else {
            throw SchemaError(.unreadable, "not an AsyncAPI 3 document")
        }
        self.root = root
    }

    func members(of name: String) -> [(key: String, value: JSONValue)] {
        (root[name]?.object ?? [:]).sorted { $0.key < $1.key }
    }

    /// An object's members, each itself or what it refers to.
    func members(of object: JSONValue?) throws(SchemaError) -> [(key: String, value: JSONValue)] {
        var members: [(key: String, value: JSONValue)] = []
        for (key, value) in (object?.object ?? [:]).sorted(by: { $0.key < $1.key }) {
            members.append((key, try resolve(value)))
        }
        return members
    }

    func resolve(_ value: JSONValue) throws(SchemaError) -> JSONValue {
        var value = value
        // One that leads to itself would go on for ever.
        for _ in 0..<16 {
            guard let reference = value["$ref"]?.string else { return value }
            guard reference.hasPrefix("#/") else {
                throw SchemaError(.unreadable, "'\(reference)' is in another document")
            }
            var place = root
            for step in reference.dropFirst(2).split(separator: "/", omittingEmptySubsequences: false) {
                guard let next = place[Self.unescaped(step)] else {
                    throw SchemaError(.unreadable, "there is no '\(reference)'")
                }
                place = next
            }
            value = place
        }
        throw SchemaError(.unreadable, "references that lead in a circle")
    }

    func schema(_ payload: JSONValue, of version: EventVersion) throws(SchemaError) -> JSONSchema {
        let payload = try resolve(payload)
        guard let keywords = (payload["schemaFormat"] == nil ? payload : payload["schema"])?.object else {
            throw SchemaError(.unreadable, "the payload of \(version) is no JSON Schema")
        }
        return JSONSchema(keywords)
    }

    /// A step of a JSON pointer: `~1` is '/', `~0` is '~'.
    private static func unescaped(_ step: Substring) -> String {
        step.split(separator: "~", omittingEmptySubsequences: false).enumerated().map { index, part in
            guard index > 0 else { return String(part) }
            return (part.first == "1" ? "/" : "~") + part.dropFirst()
        }.joined()
    }
}
