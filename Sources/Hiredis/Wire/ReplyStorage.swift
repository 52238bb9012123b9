import CHiredisShims

/// One allocation that holds the replies of one request: the nodes, and behind them the bytes.
///
/// `@unchecked Sendable` because it is filled once, in `taking`, before anyone else sees it, and never changes.
struct ReplyStorage: @unchecked Sendable {
    private let buffer: ManagedBuffer<Void, UInt64>
    // Here and not in the buffer's header, where each look would be a dynamic exclusivity check.
    private let nodeCount: Int
    private let byteCount: Int
    private static let wordsPerNode = MemoryLayout<fch_node>.stride / MemoryLayout<UInt64>.stride

    static func taking(from reader: OpaquePointer) -> ReplyStorage {
        let nodeCount = unsafe fch_reader_node_count(reader)
        let byteCount = unsafe fch_reader_byte_count(reader)
        let buffer = ManagedBuffer<Void, UInt64>.create(
            minimumCapacity: nodeCount * wordsPerNode + (byteCount + 7) / 8
        ) { _ in }
        unsafe buffer.withUnsafeMutablePointerToElements { words in
            let raw = UnsafeMutableRawPointer(words)
            unsafe fch_reader_take(
                reader,
                raw.assumingMemoryBound(to: fch_node.self),
                (raw + nodeCount * MemoryLayout<fch_node>.stride).assumingMemoryBound(to: UInt8.self))
        }
        return ReplyStorage(buffer: buffer, nodeCount: nodeCount, byteCount: byteCount)
    }

    /// One storage with texts that lie one behind the other in `bytes`.
    static func texts(lengths: [Int], bytes source: [UInt8]) -> ReplyStorage {
        precondition(lengths.reduce(0, +) == source.count, "lengths that are not those of the bytes")
        let buffer = ManagedBuffer<Void, UInt64>.create(
            minimumCapacity: lengths.count * wordsPerNode + (source.count + 7) / 8
        ) { _ in }
        unsafe buffer.withUnsafeMutablePointerToElements { words in
            let nodes = unsafe UnsafeMutableRawPointer(words).assumingMemoryBound(to: fch_node.self)
            var start = 0
            for (index, length) in lengths.enumerated() {
                let node = fch_node(kind: UInt8(FCH_STRING), count: UInt32(length), value: Int64(start))
                unsafe (nodes + index).initialize(to: node)
                start += length
            }
            unsafe source.withUnsafeBytes { (source: UnsafeRawBufferPointer) in
                guard let base = source.baseAddress else { return }
                unsafe UnsafeMutableRawPointer(nodes + lengths.count).copyMemory(
                    from: base, byteCount: source.count)
            }
        }
        return ReplyStorage(buffer: buffer, nodeCount: lengths.count, byteCount: source.count)
    }

    /// One storage with copies of these replies, one behind the other.
    static func joining(_ replies: [RedisReply]) -> ReplyStorage {
        let parts = replies.map { (storage: $0.storage, extent: $0.storage.extent(of: $0.index)) }
        let nodeCount = parts.reduce(0) { $0 + $1.extent.nodes.count }
        let byteCount = parts.reduce(0) { $0 + $1.extent.bytes.count }
        let buffer = ManagedBuffer<Void, UInt64>.create(
            minimumCapacity: nodeCount * wordsPerNode + (byteCount + 7) / 8
        ) { _ in }
        unsafe buffer.withUnsafeMutablePointerToElements { words in
            let nodes = unsafe UnsafeMutableRawPointer(words).assumingMemoryBound(to: fch_node.self)
            let bytes = unsafe UnsafeMutableRawPointer(nodes + nodeCount)
            var (nodeAt, byteAt) = (0, 0)
            for (storage, extent) in parts {
                for index in extent.nodes {
                    var node = storage.node(at: index)
                    switch Int(node.kind) {
                    case FCH_ARRAY: node.value += Int64(nodeAt - extent.nodes.lowerBound)
                    case FCH_STRING, FCH_STATUS, FCH_ERROR:
                        node.value += Int64(byteAt - extent.bytes.lowerBound)
                    default: break
                    }
                    unsafe (nodes + nodeAt + index - extent.nodes.lowerBound).initialize(to: node)
                }
                unsafe storage.withBytes(extent.bytes) { (source: UnsafeRawBufferPointer) in
                    guard let base = source.baseAddress, source.count > 0 else { return }
                    unsafe (bytes + byteAt).copyMemory(from: base, byteCount: source.count)
                }
                nodeAt += extent.nodes.count
                byteAt += extent.bytes.count
            }
        }
        return ReplyStorage(buffer: buffer, nodeCount: nodeCount, byteCount: byteCount)
    }

    /// Where a reply stands with all it holds: depth first, so both are without gaps.
    private func extent(of index: Int) -> (nodes: Range<Int>, bytes: Range<Int>) {
        let nodes = index..<next(after: index)
        var bytes: Range<Int>?
        for index in nodes {
            let node = node(at: index)
            switch Int(node.kind) {
            case FCH_STRING, FCH_STATUS, FCH_ERROR:
                let end = Int(node.value) + Int(node.count)
                bytes = (bytes?.lowerBound ?? Int(node.value))..<end
            default: break
            }
        }
        return (nodes, bytes ?? 0..<0)
    }

    func node(at index: Int) -> fch_node {
        precondition(index >= 0 && index < nodeCount, "a node outside its reply")
        return unsafe buffer.withUnsafeMutablePointerToElements { words in
            unsafe UnsafeRawPointer(words).load(
                fromByteOffset: index * MemoryLayout<fch_node>.stride, as: fch_node.self)
        }
    }

    func withBytes<R>(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= byteCount, "bytes outside their reply")
        let start = nodeCount * MemoryLayout<fch_node>.stride + range.lowerBound
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

    /// Strings in pairs, one node behind the other.
    func forEachString(
        from first: Int, count: Int, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer, Int) -> Void
    ) {
        precondition(first >= 0 && first + count <= nodeCount, "nodes outside their reply")
        unsafe buffer.withUnsafeMutablePointerToElements { words in
            let nodes = unsafe UnsafeRawPointer(words).assumingMemoryBound(to: fch_node.self)
            let bytes = unsafe UnsafeRawPointer(nodes + nodeCount)
            func string(at index: Int) -> UnsafeRawBufferPointer? {
                let node = unsafe nodes[index]
                guard node.kind == UInt8(FCH_STRING) || node.kind == UInt8(FCH_STATUS) else { return nil }
                let (start, count) = (Int(node.value), Int(node.count))
                precondition(start >= 0 && start + count <= byteCount, "bytes outside their reply")
                return unsafe UnsafeRawBufferPointer(start: bytes + start, count: count)
            }
            for index in stride(from: first, to: first + count - 1, by: 2) {
                guard let name = unsafe string(at: index), let value = unsafe string(at: index + 1) else {
                    return
                }
                unsafe body(name, value, index + 1)
            }
        }
    }
}
