internal import FoundationEssentials
internal import Freshet

/// A type whose shape is known without watching it.
protocol Shaped {
    static func shape(at place: Place) throws -> Shape<Self>
}

extension Bool: Shaped {
    static func shape(at place: Place) -> Shape<Bool> { Shape(schema: .boolean, sample: false) }
}

extension String: Shaped {
    static func shape(at place: Place) -> Shape<String> { Shape(schema: .string, sample: "") }
}

extension Double: Shaped {
    static func shape(at place: Place) -> Shape<Double> { Shape(schema: .number, sample: 0) }
}

extension Float: Shaped {
    static func shape(at place: Place) -> Shape<Float> { Shape(schema: .number, sample: 0) }
}

extension FixedWidthInteger {
    /// Bounds of 64 bits stay in the format: many programs read JSON's numbers as doubles, which cannot hold them.
    static func shape(at place: Place) -> Shape<Self> {
        let isWide = bitWidth > 32
        return Shape(
            schema: .integer(
                format: "\(isSigned ? "" : "u")int\(bitWidth)",
                from: isWide && isSigned ? nil : Int64(min), through: isWide ? nil : Int64(max)),
            sample: 0)
    }
}

extension Int: Shaped {}
extension Int8: Shaped {}
extension Int16: Shaped {}
extension Int32: Shaped {}
extension Int64: Shaped {}
extension UInt: Shaped {}
extension UInt8: Shaped {}
extension UInt16: Shaped {}
extension UInt32: Shaped {}
extension UInt64: Shaped {}

extension Optional: Shaped where Wrapped: Decodable {
    static func shape(at place: Place) throws -> Shape<Self> {
        let shape = try place.shape(of: Wrapped.self)
        return Shape(schema: shape.schema.orNull, sample: shape.sample)
    }
}

extension Array: Shaped where Element: Decodable {
    static func shape(at place: Place) throws -> Shape<Self> {
        let shape = try place.at(Name(0)).shape(of: Element.self)
        return Shape(schema: .array(of: shape.schema), sample: [shape.sample])
    }
}

extension Set: Shaped where Element: Decodable {
    static func shape(at place: Place) throws -> Shape<Self> {
        let shape = try place.at(Name(0)).shape(of: Element.self)
        return Shape(schema: .array(of: shape.schema), sample: [shape.sample])
    }
}

extension Dictionary: Shaped where Key: CodingKeyRepresentable, Value: Decodable {
    static func shape(at place: Place) throws -> Shape<Self> {
        let shape = try place.at(Name("*")).shape(of: Value.self)
        return Shape(schema: .map(of: shape.schema), sample: [:])
    }
}

// As JSONDecoder reads them unless it is told otherwise.

extension Date: Shaped {
    static func shape(at place: Place) -> Shape<Date> { Shape(schema: .number, sample: .distantPast) }
}

extension Data: Shaped {
    static func shape(at place: Place) -> Shape<Data> {
        Shape(schema: .string.with("contentEncoding", "base64"), sample: Data())
    }
}

extension Decimal: Shaped {
    static func shape(at place: Place) -> Shape<Decimal> { Shape(schema: .number, sample: 0) }
}

extension UUID: Shaped {
    static func shape(at place: Place) -> Shape<UUID> {
        Shape(schema: .string(format: "uuid"), sample: UUID())
    }
}

extension URL: Shaped {
    static func shape(at place: Place) -> Shape<URL> {
        Shape(schema: .string(format: "uri-reference"), sample: URL(filePath: "/"))
    }
}

extension Identifier where Self: Shaped {
    static func shape(at place: Place) -> Shape<Self> {
        Shape(schema: .string.with("pattern", "^[A-Za-z0-9._-]{1,128}$"), sample: Self(unchecked: "a"))
    }
}

extension Namespace: Shaped {}
extension TopicName: Shaped {}
extension GroupName: Shaped {}
extension EventType: Shaped {}
