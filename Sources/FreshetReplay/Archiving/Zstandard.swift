internal import CZstd

/// Compresses what comes one after the other into frames, each of which ends with a checksum of what went in.
@safe final class ZstdCompressor {
    private let context: OpaquePointer
    private var output = [UInt8](repeating: 0, count: ZSTD_CStreamOutSize())

    /// - Parameter level: 1 is fast, 19 is small.
    init(level: Int) {
        guard let context = unsafe ZSTD_createCCtx() else { preconditionFailure("out of memory") }
        unsafe self.context = context
        unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Int32(clamping: level))
        unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
    }

    deinit { unsafe ZSTD_freeCCtx(context) }

    /// Begins a frame; one that was not ended is forgotten.
    func begin() { unsafe ZSTD_CCtx_reset(context, ZSTD_reset_session_only) }

    /// Hands on what has become whole.
    ///
    /// - Parameter isLast: whether the frame ends with these bytes.
    func compress(
        _ bytes: [UInt8], isLast: Bool, _ body: (UnsafeRawBufferPointer) throws(ArchiveError) -> Void
    ) throws(ArchiveError) {
        var position = 0
        while true {
            let (rest, filled) = try step(bytes, &position, isLast)
            if filled > 0 {
                let outcome = unsafe output.withUnsafeBytes { all in
                    Result { () throws(ArchiveError) in
                        try unsafe body(UnsafeRawBufferPointer(rebasing: all[..<filled]))
                    }
                }
                try outcome.get()
            }
            if isLast ? rest == 0 : position == bytes.count { return }
        }
    }

    private func step(_ bytes: [UInt8], _ position: inout Int, _ isLast: Bool) throws(ArchiveError) -> (
        rest: Int, filled: Int
    ) {
        var (at, filled) = (position, 0)
        let rest = unsafe bytes.withUnsafeBytes { source in
            unsafe output.withUnsafeMutableBytes { target in
                var input = unsafe ZSTD_inBuffer(src: source.baseAddress, size: source.count, pos: at)
                var out = unsafe ZSTD_outBuffer(dst: target.baseAddress, size: target.count, pos: 0)
                let rest = unsafe ZSTD_compressStream2(
                    context, &out, &input, isLast ? ZSTD_e_end : ZSTD_e_continue)
                unsafe (at, filled) = (input.pos, out.pos)
                return rest
            }
        }
        guard ZSTD_isError(rest) == 0 else { throw ArchiveError(.storage, "zstd cannot compress") }
        position = at
        return (rest, filled)
    }
}

/// Decompresses one frame after the other.
@safe final class ZstdDecompressor {
    private let context: OpaquePointer
    /// Whether the last frame has ended.
    private(set) var isAtEnd = true

    init() {
        guard let context = unsafe ZSTD_createDCtx() else { preconditionFailure("out of memory") }
        unsafe self.context = context
    }

    deinit { unsafe ZSTD_freeDCtx(context) }

    /// Appends what these bytes hold, from the position on, as far as there is room for: so many bytes. Nil when they are
    /// no frame, or their checksum is wrong.
    func decompress(
        _ bytes: [UInt8], upTo end: Int, from position: inout Int, into lines: inout [UInt8], room: Int
    )
        -> Int?
    {
        var (at, result) = (position, 0)
        let added = unsafe [UInt8](unsafeUninitializedCapacity: room) { target, count in
            unsafe bytes.withUnsafeBytes { source in
                var input = unsafe ZSTD_inBuffer(src: source.baseAddress, size: end, pos: at)
                var out = unsafe ZSTD_outBuffer(dst: target.baseAddress, size: room, pos: 0)
                unsafe result = ZSTD_decompressStream(context, &out, &input)
                unsafe (at, count) = (input.pos, out.pos)
            }
        }
        guard ZSTD_isError(result) == 0 else { return nil }
        isAtEnd = result == 0
        position = at
        lines.append(contentsOf: added)
        return added.count
    }
}
