internal import CLuaShims
internal import Hiredis

/// Runs the very scripts that a real server is sent, on the system's Lua.
@safe final class MemoryScripts {
    private unowned let store: MemoryStore
    private var sources: [String: Bytes] = [:]
    private var state: OpaquePointer?

    init(store: MemoryStore) {
        self.store = store
        unsafe state = fls_new(
            { context, request, length in
                guard let context = unsafe context, let request = unsafe request else { return }
                let scripts = unsafe Unmanaged<MemoryScripts>.fromOpaque(context).takeUnretainedValue()
                scripts.execute(unsafe Bytes(UnsafeRawBufferPointer(start: request, count: length)))
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    deinit { unsafe fls_free(state) }

    private func execute(_ request: Bytes) {
        var (requests, reply) = (MemoryRequests(), Bytes())
        requests.append(request)
        do throws(MemoryError) {
            store.execute(try requests.next() ?? []).write(to: &reply)
        } catch { MemoryReply.error(error.text).write(to: &reply) }
        unsafe reply.withUnsafeBytes {
            unsafe fls_answer(state, $0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count)
        }
    }

    func run(_ arguments: inout MemoryArguments) throws(MemoryError) -> MemoryReply {
        let name = try arguments.bytes()
        let digest: String
        if arguments.name == "EVAL" {
            digest = RedisScript.digest(of: name)
            sources[digest] = name
        } else {
            digest = name.text.lowercased()
        }
        guard let source = sources[digest] else {
            throw MemoryError("NOSCRIPT No matching script. Please use EVAL.")
        }
        let keyCount = try arguments.integer()
        guard keyCount <= arguments.count else {
            throw MemoryError("ERR Number of keys can't be greater than number of args")
        }
        return .raw(call(digest, source, arguments.all, keyCount))
    }

    private func call(_ digest: String, _ source: Bytes, _ arguments: [Bytes], _ keyCount: Int) -> Bytes {
        let lengths = arguments.map(\.count)
        // One buffer, and where each argument begins in it.
        let joined = Bytes(arguments.joined()) + [0]
        return unsafe joined.withUnsafeBytes { bytes in
            var start = 0
            var pointers: [UnsafePointer<CChar>?] = unsafe []
            for length in lengths {
                unsafe pointers.append(
                    bytes.baseAddress.map { unsafe ($0 + start).assumingMemoryBound(to: CChar.self) })
                start += length
            }
            var count = 0
            let reply = unsafe source.withUnsafeBytes { source in
                unsafe fls_run(
                    state, digest, source.baseAddress?.assumingMemoryBound(to: CChar.self), source.count,
                    pointers,
                    lengths, lengths.count, keyCount, &count)
            }
            return unsafe Bytes(UnsafeRawBufferPointer(start: reply, count: count))
        }
    }
}
