import Freshet
import FreshetSchema
import Testing

/// A change within a version: both schemas, where it is, what it is, and whether it breaks.
private struct Case: Sendable, CustomTestStringConvertible {
    let old, new, path, change: String
    let breaks: Bool
    var testDescription: String { "\(path): \(change)" }

    init(_ old: String, _ new: String, _ path: String, _ change: String, breaks: Bool = true) {
        (self.old, self.new, self.path, self.change, self.breaks) = (old, new, path, change, breaks)
    }

    /// Of one member `a` that has this schema.
    static func member(_ old: String, _ new: String, _ change: String, breaks: Bool = true, at: String = "")
        -> Case
    {
        func holder(_ schema: String) -> String { #"{"properties": {"a": {\#(schema)}}, "required": ["a"]}"# }
        return Case(holder(old), holder(new), "$.a\(at)", change, breaks: breaks)
    }
}

private let a = #""a": {"type": "string"}"#, b = #""b": {"type": "string"}"#
private let (ab, onlyA) = (
    #"{"properties": {\#(a), \#(b)}, "required": "#, #"{"properties": {\#(a)}, "required": ["a"]}"#
)

private let cases: [Case] = [
    Case(ab + #"["a", "b"]}"#, onlyA, "$.b", "required, removed"),
    Case(ab + #"["a"]}"#, onlyA, "$.b", "optional, removed", breaks: false),
    Case(onlyA, ab + #"["a", "b"]}"#, "$.b", "required, added"),
    Case(onlyA, ab + #"["a"]}"#, "$.b", "optional, added", breaks: false),
    Case(ab + #"["a", "b"]}"#, ab + #"["a"]}"#, "$.b", "required became optional"),
    Case(ab + #"["a"]}"#, ab + #"["a", "b"]}"#, "$.b", "optional became required"),
    Case(
        #"{"properties": {}, "additionalProperties": false}"#,
        #"{"properties": {\#(a)}, "additionalProperties": false}"#, "$.a", "optional, added"),
    Case(
        #"{"properties": {\#(a)}, "additionalProperties": false}"#,
        #"{"properties": {}, "additionalProperties": false}"#, "$.a", "optional, removed"),
    Case(
        #"{"type": "object"}"#, #"{"type": "object", "additionalProperties": false}"#, "$",
        "other members are not"),
    Case(
        #"{"additionalProperties": {"type": "string"}}"#, #"{"additionalProperties": {"type": "integer"}}"#,
        "$.*",
        "type string became integer"),
    .member(#""type": "string""#, #""type": "integer""#, "type string became integer"),
    .member(#""type": "integer""#, #""type": "number""#, "type integer became number"),
    .member(#""type": "number""#, #""type": "integer""#, "type number became integer"),
    .member(
        #""type": ["integer", "number"]"#, #""type": "number""#, "type integer or number became number",
        breaks: false),
    .member(#""type": "string""#, #""type": ["string", "null"]"#, "type string became null or string"),
    .member(#""type": ["string", "null"]"#, #""type": "string""#, "type null or string became string"),
    .member(#""enum": ["x", "y"]"#, #""enum": ["x"]"#, #"without the value "y""#),
    .member(#""enum": ["x"]"#, #""enum": ["x", "y"]"#, #"with the value "y""#),
    .member(#""type": "string""#, #""type": "string", "enum": ["x"]"#, #"only "x""#),
    .member(#""type": "string", "const": "x""#, #""type": "string""#, #"not only "x""#),
    .member(
        #""format": "int32", "minimum": -2147483648, "maximum": 2147483647"#, #""format": "int64""#,
        "became int64"),
    .member(
        #""format": "int64""#, #""format": "int8", "minimum": -128, "maximum": 127"#, "int64 became int8"),
    .member(#""format": "int8""#, #""format": "int8", "minimum": -128"#, "", breaks: false),
    .member(#""minimum": 0"#, #""minimum": 1"#, "from 0 became from 1"),
    .member(#""maximum": 1.5"#, #""maximum": 2"#, "through 1.5 became through 2"),
    .member(#""type": "string", "format": "uuid""#, #""type": "string""#, "format uuid became none"),
    .member(
        #""type": "string", "format": "uuid""#, #""type": "string", "format": "uri""#,
        "format uuid became uri"),
    .member(#""maxLength": 5"#, #""maxLength": 6"#, "maxLength 5 became 6"),
    .member(#""minItems": 1"#, #""title": "t""#, "minItems 1 became none"),
    .member(#""pattern": "^a""#, #""pattern": "^b""#, "pattern"),
    .member(#""anyOf": [{"type": "string"}]"#, #""anyOf": [{"type": "integer"}]"#, "anyOf"),
    .member(
        #""items": {"type": "string"}"#, #""items": {"type": "boolean"}"#, "type string became boolean",
        at: "[*]"),
    .member(#""items": {"type": "string"}"#, "", "items"),
    .member(#""title": "one""#, #""title": "two", "examples": [1], "x-mark": 1"#, "", breaks: false),
]

@Suite struct ChangeTests {
    @Test(arguments: cases) fileprivate func `within a version`(item: Case) throws {
        let changes = try schema(item.old).changes(to: try schema(item.new), of: "event")
        guard !item.change.isEmpty else { return #expect(changes.isEmpty, "\(changes)") }
        #expect(changes.count == 1, "\(changes)")
        let change = try #require(changes.first)
        #expect(change.path == item.path && change.event == "event")
        #expect(change.change.contains(item.change), "\(change)")
        #expect(change.isBreaking == item.breaks && !change.why.isEmpty, "\(change)")
        #expect(change.instead.contains("a new version, with an upcast") == item.breaks, "\(change)")
    }

    @Test func `which side breaks is said`() throws {
        func why(_ old: String, _ new: String) throws -> String {
            try #require(schema(old).changes(to: schema(new), of: "e").first).why
        }
        #expect(try why(onlyA, ab + #"["a", "b"]}"#).hasPrefix("the log has old events"))
        #expect(try why(ab + #"["a", "b"]}"#, onlyA).hasPrefix("programs of the old schema"))
        #expect(try why(#"{"enum": [1, 2]}"#, #"{"enum": [1]}"#).hasPrefix("the log"))
        #expect(try why(#"{"enum": [1]}"#, #"{"enum": [1, 2]}"#).hasPrefix("programs"))
    }

    @Test func `what breaks comes first, and null is said once`() throws {
        let old =
            #"{"properties": {"a": {"type": "string", "enum": ["x"]}, "z": {"type": "string"}}, "required": ["z"]}"#
        let new = #"{"properties": {"a": {"type": ["string", "null"], "enum": ["x", null]}, "b": {}}}"#
        let changes = try schema(old).changes(to: try schema(new), of: "e")
        #expect(changes.map(\.path) == ["$.a", "$.z", "$.b"])
        #expect(changes.map(\.isBreaking) == [true, true, false])
    }
}
