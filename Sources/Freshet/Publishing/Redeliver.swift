package import Hiredis

extension RedisPipeline {
    /// Appends an XADD with every field of an entry as it stands there. Delivery's own names are left out, since on a log nobody
    /// vouches for them; with a replay's name its own are added: where the entry stood, and which replay brings it.
    package mutating func appendCopy(of entry: StreamEntry, to stream: String, replay: String?) {
        appendXADD(stream, argumentCount: entry.copyLength(replay: replay)) { command in
            command.appendCopy(of: entry, replay: replay)
        }
    }
}

extension CommandWriter {
    /// Appends the names and values of such a copy, each as one argument.
    package mutating func appendCopy(of entry: StreamEntry, replay: String?) {
        unsafe appendFields(of: entry.fields) { unsafe !$0.isReserved }
        guard let replay else { return }
        append(Field.originalID)
        entry.id.write(to: &self)
        append(Field.replay)
        append(replay)
    }
}

extension StreamEntry {
    /// How many names and values such a copy has.
    package func copyLength(replay: String?) -> Int {
        var kept = 0
        unsafe fields.forEachField { name, _, _ in
            if unsafe !name.isReserved { kept += 1 }
        }
        return 2 * kept + (replay == nil ? 0 : 4)
    }

    /// Whether anything of it is left when delivery's own names are taken away: an entry has at least one field.
    package var hasContent: Bool {
        var found = false
        unsafe fields.forEachField { name, _, _ in
            if unsafe !name.isReserved { found = true }
        }
        return found
    }
}

extension UnsafeRawBufferPointer {
    fileprivate var isReserved: Bool {
        unsafe count >= 7 && self[0] == UInt8(ascii: "f") && self[1] == UInt8(ascii: "r")
            && self[2] == UInt8(ascii: "e") && self[3] == UInt8(ascii: "s") && self[4] == UInt8(ascii: "h")
            && self[5] == UInt8(ascii: "e") && self[6] == UInt8(ascii: "t")
    }
}
