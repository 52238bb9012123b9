import CHiredisShims

struct ReplyHeader {
    let nodeCount: Int
    let byteCount: Int
}

/// One allocation that holds the replies of one request: the nodes, and behind them the bytes.
///
/// `@unchecked Sendable` because it is filled once, in `taking`, before anyone else sees it, and never changes.
struct ReplyStorage: @unchecked Sendable {
    private let buffer: ManagedBuffer<ReplyHeader, UInt64>
    private static let wordsPerNode = MemoryLayout<fch_node>.stride / MemoryLayout<UInt64>.stride

    static func taking(from reader: OpaquePointer) -> ReplyStorage {
        let nodeCount = unsafe fch_reader_node_count(reader)
        let byteCount = unsafe fch_reader_byte_count(reader)
        let buffer = ManagedBuffer<ReplyHeader, UInt64>.create(
            minimumCapacity: nodeCount * wordsPerNode + (byteCount + 7) / 8
        ) { _ in
            ReplyHeader(nodeCount: nodeCount, byteCount: byteCount)
        }
        unsafe buffer.withUnsafeMutablePointerToElements { words in
            let raw = UnsafeMutableRawPointer(words)
            unsafe fch_reader_take(
                reader,
                raw.assumingMemoryBound(to: fch_node.self),
                (raw + nodeCount * MemoryLayout<fch_node>.stride).assumingMemoryBound(to: UInt8.self))
        }
        return ReplyStorage(buffer: buffer)
    }

    func node(at index: Int) -> fch_node {
        precondition(index >= 0 && index < buffer.header.nodeCount, "a node outside its reply")
        return unsafe buffer.withUnsafeMutablePointerToElements { words in
            unsafe UnsafeRawPointer(words).load(
                fromByteOffset: index * MemoryLayout<fch_node>.stride, as: fch_node.self)
        }
    }

    func withBytes<R>(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= buffer.header.byteCount, "bytes outside their reply")
        let start = buffer.header.nodeCount * MemoryLayout<fch_node>.stride + range.lowerBound
        return try unsafe buffer.withUnsafeMutablePointerToElements { words in
            try unsafe body(
                UnsafeRawBufferPointer(start: UnsafeRawPointer(words) + start, count: range.count))
        }
    }

    /// The index of the node behind this one and all its descendants.
    func next(after index: Int) -> Int {
        let node = node(at: index)
        return node.kind == UInt8(FCH_ARRAY) ? Int(node.value) : index + 1
    }
}
