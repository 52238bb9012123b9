import FoundationEssentials
import Freshet
import FreshetReplay
import FreshetTesting
import Hiredis
import Testing

@Suite struct HistoryLineTests {
    private func entry(_ id: StreamID, _ texts: [[UInt8]]) -> StreamEntry {
        let fields = RedisReplies(textLengths: texts.map(\.count), bytes: texts.flatMap { $0 })
        return StreamEntry(id: id, fields: fields)
    }

    private func entry(_ texts: String...) -> StreamEntry { entry(id(7, 3), texts.map { Array($0.utf8) }) }

    private func line(_ entry: StreamEntry) -> [UInt8] {
        var bytes: [UInt8] = []
        HistoryLine(entry).append(to: &bytes)
        return bytes
    }

    private func texts(_ entry: StreamEntry) -> [[UInt8]] { entry.fields.compactMap { $0.bytes?.array } }

    private func decoded(_ text: String) throws -> HistoryLine { try HistoryLine(decoding: Array(text.utf8)) }

    @Test func `an entry is one line, its names and values in order, duplicates kept`() throws {
        let entry = entry("id", "e1", "data", #"{"a":"\n"}"#, "id", "e2")
        #expect(
            String(decoding: line(entry), as: UTF8.self)
                == #"{"id":"7-3","fields":["id","e1","data","{\"a\":\"\\n\"}","id","e2"]}"# + "\n")
        var bytes: [UInt8] = []
        HistoryLine(entry, topic: "orders", partition: 12).append(to: &bytes)
        #expect(bytes.starts(with: #"{"topic":"orders","partition":12,"id":"7-3","fields":["#.utf8))
        let read = try HistoryLine(decoding: bytes)
        #expect(read.topic == "orders" && read.partition == 12 && read.entry.id == id(7, 3))
        #expect(texts(read.entry) == texts(entry))
    }

    @Test func `what is no UTF-8 is base64, control characters are escaped`() throws {
        let bytes: [[UInt8]] = [
            [0xff], [0xff, 0xfe], [0xff, 1, 2], Array("a\u{0}\u{1f}\u{7f}é\u{2028}😀\t".utf8),
        ]
        let line = line(entry(.newest, bytes))
        #expect(
            String(decoding: line, as: UTF8.self)
                == #"{"id":"18446744073709551615-18446744073709551615","fields":[{"base64":"/w=="},"#
                + #"{"base64":"//4="},{"base64":"/wEC"},"a\u0000\u001f\#u{7f}é\#u{2028}😀\t"]}"# + "\n")
        #expect(try texts(HistoryLine(decoding: line).entry) == bytes)
    }

    @Test func `random bytes come back as they were, and other JSON readers agree`() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = Seeded(seed)
        for round in 0..<2000 {
            let kind = round % 3
            let all = (0..<2 * Int.random(in: 1...6, using: &random)).map { _ -> [UInt8] in
                (0..<Int.random(in: 0...40, using: &random)).flatMap { _ -> [UInt8] in
                    switch kind {
                    case 0: [UInt8.random(in: 0...255, using: &random)]
                    case 1: [UInt8.random(in: 0...127, using: &random)]
                    default:
                        Array(
                            String(
                                Unicode.Scalar(UInt32.random(in: 0...0x10ffff, using: &random)) ?? "\""
                            ).utf8)
                    }
                }
            }
            let entry = entry(
                StreamID(
                    milliseconds: .random(in: 0 ... .max, using: &random),
                    sequence: .random(in: 0 ... .max, using: &random)), all)
            let line = line(entry)
            let read = try HistoryLine(decoding: line)
            #expect(read.entry.id == entry.id && texts(read.entry) == all, "seed \(seed)")
            guard kind > 0 else { continue }
            struct Line: Decodable { let id: String, fields: [String] }
            let other = try JSONDecoder().decode(Line.self, from: Data(line.dropLast()))
            #expect(other.fields.map { Array($0.utf8) } == all && other.id == "\(entry.id)", "seed \(seed)")
        }
    }

    @Test func `members may stand in any order, with spaces and other escapes`() throws {
        let line = try decoded(
            " { \"fields\" : [ \"a\" , \"\\u0041\\/\\ud83d\\ude00\\b\\f\" , {\"base64\" : \"\"}, \"\" ] , \"id\":\"1-2\" } \r\n"
        )
        #expect(line.entry.id == id(1, 2) && line.topic == nil && line.partition == nil)
        #expect(texts(line.entry) == [Array("a".utf8), Array("A/😀\u{8}\u{c}".utf8), [], []])
    }

    @Test(arguments: [
        ("", "no JSON object"), ("[]", "no JSON object"), ("{}", "neither a string"),
        (#"{"id":"1-0"}"#, "'fields' is missing"), (#"{"fields":["a","b"]}"#, "'id' is missing"),
        (#"{"id":"1-0","id":"1-0","fields":["a","b"]}"#, "'id' is there twice"),
        (#"{"id":"1-0","fields":["a"]}"#, "a name without a value"),
        (#"{"id":"1-0","fields":[]}"#, "neither a string nor base64"),
        (#"{"id":"1","fields":["a","b"]}"#, "'1' is no stream id"),
        (#"{"id":"1-0","fields":["a",1]}"#, "neither a string nor base64"),
        (#"{"id":"1-0","fields":["a","b"],"x":"y"}"#, "'x' means nothing"),
        (#"{"id":"1-0","fields":["a","b"]} {"#, "something follows"),
        (#"{"id":"1-0","fields":["a","b"#, "does not end"),
        (#"{"id":"1-0","fields":["a","\q"]}"#, "an escape that JSON does not have"),
        (#"{"id":"1-0","fields":["a","\ud800"]}"#, "half a surrogate pair"),
        (#"{"id":"1-0","fields":["a","\udc00"]}"#, "half a surrogate pair"),
        (#"{"id":"1-0","fields":["a","\u00g0"]}"#, "without four digits"),
        ("{\"id\":\"1-0\",\"fields\":[\"a\",\"\n\"]}", "a control character"),
        (#"{"id":"1-0","fields":["a",{"base64":"/w="}]}"#, "base64"),
        (#"{"id":"1-0","fields":["a",{"base64":"_w=="}]}"#, "base64's"),
        (#"{"id":"1-0","fields":["a",{"base65":"/w=="}]}"#, "base64"),
        (#"{"id":"1-0","topic":"a b","fields":["a","b"]}"#, "is no topic"),
        (#"{"id":"1-0","partition":-1,"fields":["a","b"]}"#, "whole number"),
    ])
    func `a line that is none is refused, and says where`(text: String, says: String) throws {
        let error = #expect(throws: FreshetError.self) { try decoded(text) }
        #expect(error?.code == .invalidData && error?.message.contains(says) == true, "\(error as Any)")
        #expect(error?.message.contains("(at byte ") == true)
    }

    @Test func `a string of bytes that are no UTF-8 is refused`() throws {
        var bytes = Array(#"{"id":"1-0","fields":["a","x"]}"#.utf8)
        bytes[bytes.count - 4] = 0xff
        let error = #expect(throws: FreshetError.self) { try HistoryLine(decoding: bytes) }
        #expect(error?.message.contains("no UTF-8") == true)
    }
}
