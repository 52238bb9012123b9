import FoundationEssentials
import Freshet
import FreshetSchema
import Testing

private enum Size: String, Codable, CaseIterable { case small, large }
private enum Grade: Int, Codable, CaseIterable { case low = 1, high = 2 }
private enum Open: String, Codable { case one }
private enum Either: Codable { case left(Int), right(String) }

private struct Plain: Codable {
    struct Inner: Codable { let text: String, note: String? }
    let flag: Bool, text: String, number: Double, whole: Int, small: Int8, wide: UInt64, middle: UInt32
    let inner: Inner, list: [Inner], texts: Set<String>, counts: [String: Int64], maybe: Int32?
    let holes: [String?], size: Size, grade: Grade, type: EventType, id: UUID
}

private struct Code: Codable {
    let text: String
    init(from decoder: any Decoder) throws {
        text = try decoder.singleValueContainer().decode(String.self)
        guard text.count == 3 else {
            throw DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "not three letters"))
        }
    }
}

private struct SpokenCode: Codable, JSONSchemaConvertible {
    let code: Code
    init(from decoder: any Decoder) throws { code = try Code(from: decoder) }
    static var jsonSchema: JSONSchema { .string.with("pattern", "^[A-Z]{3}$").with("examples", ["EUR"]) }
}

private struct Mute: Codable, JSONSchemaConvertible {
    let code: Code
    init(from decoder: any Decoder) throws { code = try Code(from: decoder) }
    static var jsonSchema: JSONSchema { .string }
}

private struct Holding<Value: Codable>: Codable { let before: Int, value: Value, after: Int }
private struct Tree: Codable { let name: String, children: [Tree] }
private struct Empty: Codable {}

/// Reads its members by hand.
private struct ByHand: Decodable {
    enum Keys: CodingKey { case name, place, pair, extra, gone }
    enum Place: CodingKey { case street }

    init(from decoder: any Decoder) throws {
        let members = try decoder.container(keyedBy: Keys.self)
        _ = try members.decode(String.self, forKey: .name)
        _ = try members.nestedContainer(keyedBy: Place.self, forKey: .place).decode(
            String.self, forKey: .street)
        var pair = try members.nestedUnkeyedContainer(forKey: .pair)
        _ = (try pair.decode(Double.self), try pair.decode(Double.self))
        if members.contains(.extra) { _ = try members.decode(Bool.self, forKey: .extra) }
        if try !members.decodeNil(forKey: .gone) { _ = try members.decode(Bool.self, forKey: .gone) }
    }
}

/// Hides that it cannot be derived.
private struct Forgiving: Decodable {
    enum Keys: CodingKey { case code }
    init(from decoder: any Decoder) throws {
        _ = try? decoder.container(keyedBy: Keys.self).decode(Code.self, forKey: .code)
    }
}

private struct Mixed: Decodable {
    init(from decoder: any Decoder) throws {
        var list = try decoder.unkeyedContainer()
        _ = (try list.decode(String.self), try list.decode(Int.self))
    }
}

@Suite struct DerivingTests {
    @Test func `what a type reads is its schema`() throws {
        let schema = try JSONSchema(of: Plain.self)
        let expected = try json(
            """
            {"type": "object",
             "required": ["counts","flag","grade","holes","id","inner","list","middle","number","size","small","text",
               "texts","type","whole","wide"],
             "properties": {
               "flag": {"type": "boolean"}, "text": {"type": "string"}, "number": {"type": "number"},
               "whole": {"type": "integer", "format": "int64"},
               "small": {"type": "integer", "format": "int8", "minimum": -128, "maximum": 127},
               "wide": {"type": "integer", "format": "uint64", "minimum": 0},
               "middle": {"type": "integer", "format": "uint32", "minimum": 0, "maximum": 4294967295},
               "maybe": {"type": "integer", "format": "int32", "minimum": -2147483648, "maximum": 2147483647},
               "inner": {"type": "object", "required": ["text"],
                 "properties": {"text": {"type": "string"}, "note": {"type": "string"}}},
               "list": {"type": "array", "items": {"type": "object", "required": ["text"],
                 "properties": {"text": {"type": "string"}, "note": {"type": "string"}}}},
               "texts": {"type": "array", "items": {"type": "string"}},
               "counts": {"type": "object", "additionalProperties": {"type": "integer", "format": "int64"}},
               "holes": {"type": "array", "items": {"type": ["string", "null"]}},
               "size": {"type": "string", "enum": ["small", "large"]},
               "grade": {"type": "integer", "enum": [1, 2]},
               "type": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
               "id": {"type": "string", "format": "uuid"}}}
            """)
        #expect(schema.json == expected, "\(schema.json.text)")
    }

    @Test func `members read by hand are seen too`() throws {
        let schema = try JSONSchema(of: ByHand.self)
        #expect(
            schema.json
                == (try json(
                    """
                    {"type": "object", "required": ["gone", "name", "pair", "place"], "properties": {
                      "name": {"type": "string"}, "extra": {"type": "boolean"},
                      "gone": {"type": ["boolean", "null"]},
                      "pair": {"type": "array", "items": {"type": "number"}},
                      "place": {"type": "object", "required": ["street"],
                        "properties": {"street": {"type": "string"}}}}}
                    """)),
            "\(schema.json.text)")
    }

    @Test func `a type that checks what it reads says its schema itself, and its holder is derived`() throws {
        let schema = try JSONSchema(of: Holding<SpokenCode>.self)
        #expect(schema.json["properties"]?["value"]?["pattern"] == "^[A-Z]{3}$")
        #expect(schema.json["required"] == ["after", "before", "value"])
    }

    @Test func `one that cannot be derived is named, with its place`() {
        let cases: [(any Decodable.Type, [String])] = [
            (
                Holding<Code>.self,
                ["Code", "Holding<Code>.value", "not three letters", "JSONSchemaConvertible"]
            ),
            (Holding<Mute>.self, ["Mute", ".value", "example", "not three letters"]),
            (Holding<[Open]>.self, ["Open", ".value[]", "Open from invalid String value"]),
            (Holding<Either>.self, ["Either", ".value"]),
            (Tree.self, ["Tree", "Tree.children[]", "holds itself"]),
            (Forgiving.self, ["Code", "Forgiving.code"]), (Mixed.self, ["Mixed", "several types"]),
            (Holding<Empty>.self, ["Empty", ".value", "reads nothing"]),
        ]
        for (type, says) in cases {
            let error = #expect(throws: SchemaError.self) { try JSONSchema(of: type) }
            #expect(error?.code == .underivable)
            let text = error?.description ?? ""
            for part in says { #expect(text.contains(part), "\(text)") }
        }
    }

    @Test func `JSON is read and written without loss`() throws {
        let text =
            #"{"a":[1,-9223372036854775808,1.5,true,null,"ü/\n"],"b":{},"c":9223372036854775807,"d":1e+300}"#
        #expect(try json(text).line == text)
        #expect(throws: SchemaError.self) { try json("{") }
    }
}
