internal import CHiredisShims

/// What to trust and to show: OpenSSL's context. Made off the loop, because it reads files.
///
/// `@unchecked Sendable` because it is not changed after `init`, and OpenSSL lets threads share a context that is not.
@safe
final class TLSContext: @unchecked Sendable {
    fileprivate let context: OpaquePointer
    fileprivate let name: String?

    init(_ tls: RedisTLS) throws(RedisError) {
        guard (tls.certificateFile == nil) == (tls.keyFile == nil) else {
            throw RedisError(.invalidConfiguration, "a client's certificate and its key come together")
        }
        var text = [CChar](repeating: 0, count: 512)
        let context = unsafe fch_tls_context_create(
            tls.authorityFile, tls.certificateFile, tls.keyFile, tls.isInsecure ? 0 : 1, &text, text.count)
        guard let context = unsafe context else {
            throw RedisError(.invalidConfiguration, "TLS: \(String(nullTerminated: text))")
        }
        unsafe self.context = context
        name = tls.serverName
    }

    deinit { unsafe fch_tls_context_free(context) }
}

/// One secured connection. Belongs to the loop; does not own the socket.
@safe
final class TLSSession {
    fileprivate let session: OpaquePointer

    /// - Parameter host: whom the certificate must name, unless the configuration says another.
    init(_ context: TLSContext, descriptor: Int32, host: String) throws(RedisError) {
        guard let session = unsafe fch_tls_create(context.context, descriptor, context.name ?? host) else {
            throw RedisError(.tls, "'\(context.name ?? host)' cannot be the name in a certificate")
        }
        unsafe self.session = session
    }

    deinit { unsafe fch_tls_free(session) }
}

/// An open socket, plain or secured. A value: whoever holds it last calls `close`.
struct Link {
    let descriptor: Int32
    var session: TLSSession?

    /// What became of a read or write that never waits.
    enum Outcome {
        case moved(Int)
        case wouldBlock
        case ended
        case failed(RedisError)
    }

    /// One step of the handshake: done when bytes moved.
    func handshake(wantsWrite: inout Bool) -> Outcome {
        guard let session else { return .moved(1) }
        var wants: Int32 = 0
        let outcome = outcome(unsafe fch_tls_handshake(session.session, &wants), inHandshake: true)
        wantsWrite = wants != 0
        return outcome
    }

    /// Reads what has come. Fewer bytes than asked for means that no more is there now.
    func read(into buffer: UnsafeMutableRawBufferPointer) -> Outcome {
        guard let base = unsafe buffer.baseAddress?.assumingMemoryBound(to: UInt8.self) else {
            return .wouldBlock
        }
        if let session { return outcome(unsafe fch_tls_read(session.session, base, buffer.count)) }
        return outcome(unsafe fch_read(descriptor, base, buffer.count))
    }

    /// Writes from the start of these bytes as much as the socket takes.
    func write(_ bytes: UnsafeBufferPointer<UInt8>) -> Outcome {
        guard let base = bytes.baseAddress else { return .wouldBlock }
        if let session { return outcome(unsafe fch_tls_write(session.session, base, bytes.count)) }
        return outcome(unsafe fch_write(descriptor, base, bytes.count))
    }

    /// Bytes that have been decrypted and that no poll will announce.
    var pending: Int { session.map { unsafe fch_tls_pending($0.session) } ?? 0 }

    func close() { fch_close(descriptor) }

    private func outcome(_ result: Int, inHandshake: Bool = false) -> Outcome {
        if result > 0 { return .moved(result) }
        if result == -1 { return .wouldBlock }
        if result == 0 { return .ended }
        if result == Int(FCH_TLS_FAILED), let session {
            return .failed(RedisError(.tls, unsafe String(cString: fch_tls_error(session.session))))
        }
        return .failed(RedisError(.connectionLost, errno: Int32(-result)))
    }
}
