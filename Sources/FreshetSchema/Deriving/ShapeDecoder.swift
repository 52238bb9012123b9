/// A decoder that has no data: it notes what it is asked for, and answers with samples.
struct ShapeDecoder: Decoder {
    let place: Place
    let record: ShapeRecord
    let userInfo: [CodingUserInfoKey: Any] = [:]
    var codingPath: [any CodingKey] { place.path }

    init(at place: Place, noting record: ShapeRecord = ShapeRecord()) {
        self.place = place
        self.record = record
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedDecodingContainer<Key> {
        record.members = record.members ?? [:]
        return KeyedDecodingContainer(KeyedShapes(decoder: self))
    }

    func unkeyedContainer() -> any UnkeyedDecodingContainer {
        record.elements = record.elements ?? []
        return UnkeyedShapes(decoder: self)
    }

    func singleValueContainer() -> any SingleValueDecodingContainer { SingleShape(decoder: self) }

    /// The decoder of what stands inside.
    fileprivate func inside(_ key: some CodingKey) -> ShapeDecoder { ShapeDecoder(at: place.at(key)) }
}

private struct KeyedShapes<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let decoder: ShapeDecoder
    var codingPath: [any CodingKey] { decoder.codingPath }
    let allKeys: [Key] = []

    private func inside(_ key: any CodingKey) -> ShapeDecoder {
        let inside = decoder.inside(key)
        decoder.record.members?[key.stringValue] = inside.record
        return inside
    }

    /// Who asks whether a member is there can do without it.
    func contains(_ key: Key) -> Bool {
        decoder.record.optional.insert(key.stringValue)
        return true
    }

    /// Whoever has asked whether the member is there only means that it may be missing.
    func decodeNil(forKey key: Key) -> Bool {
        if !decoder.record.optional.contains(key.stringValue) {
            decoder.record.nullable.insert(key.stringValue)
        }
        return false
    }

    func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
        let shape = try decoder.place.at(key).shape(of: type)
        decoder.record.members?[key.stringValue] = ShapeRecord(shape.schema)
        return shape.sample
    }

    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type, forKey key: Key
    ) -> KeyedDecodingContainer<Nested> { inside(key).container(keyedBy: type) }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedDecodingContainer {
        inside(key).unkeyedContainer()
    }
    func superDecoder() -> any Decoder { inside(Name("super")) }
    func superDecoder(forKey key: Key) -> any Decoder { inside(key) }
}

private struct UnkeyedShapes: UnkeyedDecodingContainer {
    let decoder: ShapeDecoder
    var codingPath: [any CodingKey] { decoder.codingPath }
    let count: Int? = nil
    private(set) var currentIndex = 0
    /// One element says what all are like.
    var isAtEnd: Bool { currentIndex > 0 }

    private mutating func inside() -> ShapeDecoder {
        let inside = decoder.inside(Name(currentIndex))
        decoder.record.elements?.append(inside.record)
        currentIndex += 1
        return inside
    }

    mutating func decodeNil() -> Bool { false }

    mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        let shape = try decoder.place.at(Name(currentIndex)).shape(of: type)
        decoder.record.elements?.append(ShapeRecord(shape.schema))
        currentIndex += 1
        return shape.sample
    }

    mutating func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type
    ) -> KeyedDecodingContainer<Nested> { inside().container(keyedBy: type) }

    mutating func nestedUnkeyedContainer() -> any UnkeyedDecodingContainer { inside().unkeyedContainer() }
    mutating func superDecoder() -> any Decoder { inside() }
}

private struct SingleShape: SingleValueDecodingContainer {
    let decoder: ShapeDecoder
    var codingPath: [any CodingKey] { decoder.codingPath }

    func decodeNil() -> Bool {
        decoder.record.isNullable = true
        return false
    }

    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        let shape = try decoder.place.shape(of: type)
        guard decoder.record.value == nil || decoder.record.value == shape.schema else {
            throw decoder.place.failure(type, "what holds it reads one thing or another")
        }
        decoder.record.value = shape.schema
        return shape.sample
    }
}
