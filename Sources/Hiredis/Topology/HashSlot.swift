/// One of the 16,384 parts of a cluster's keys (Redis Cluster specification, "Key distribution model").
public enum HashSlot {
    /// How many there are.
    public static let count = 16384

    /// The slot of a key: of what stands between the first `{` and the next `}` when that is not empty, else of all.
    public static func of(_ key: some BidirectionalCollection<UInt8>) -> Int {
        if let open = key.firstIndex(of: UInt8(ascii: "{")) {
            let rest = key[key.index(after: open)...]
            if let close = rest.firstIndex(of: UInt8(ascii: "}")), close != rest.startIndex {
                return Int(crc16(rest[..<close])) % count
            }
        }
        return Int(crc16(key)) % count
    }

    /// The slot of a key.
    public static func of(_ key: String) -> Int { of(key.utf8) }

    /// CRC-16/XMODEM: polynomial 0x1021, from 0, nothing reflected.
    public static func crc16(_ bytes: some Sequence<UInt8>) -> UInt16 {
        var crc: UInt16 = 0
        for byte in bytes { crc = crc << 8 ^ table[Int(UInt8(crc >> 8) ^ byte)] }
        return crc
    }

    private static let table: [UInt16] = (0..<256).map { index in
        (0..<8).reduce(UInt16(index) << 8) { crc, _ in crc & 0x8000 != 0 ? crc << 1 ^ 0x1021 : crc << 1 }
    }
}
