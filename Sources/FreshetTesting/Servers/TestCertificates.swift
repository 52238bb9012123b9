internal import FoundationEssentials

/// Certificates for a server and its clients on this machine, made by the `openssl` command: for tests of TLS.
///
/// All are valid for 30 days, for `localhost` and 127.0.0.1 unless said otherwise.
public final class TestCertificates: Sendable {
    /// A certificate and its key, as PEM files.
    public struct Pair: Sendable {
        /// The certificate's path.
        public let certificate: String
        /// The key's path.
        public let key: String
    }

    /// `openssl` failed.
    public struct MakeError: Error, CustomStringConvertible {
        /// The command and what it printed.
        public let description: String
    }

    /// The folder with all files, removed with this object.
    public let folder: String
    /// The authority that the good certificates are of.
    public let authority: String
    /// An authority that signed none of them.
    public let strangersAuthority: String
    /// A server's.
    public let server: Pair
    /// A client's.
    public let client: Pair
    /// A server's that ended yesterday.
    public let expired: Pair
    /// A server's for another host, `elsewhere.example`.
    public let misnamed: Pair

    /// Makes them; takes about 0.2 s.
    ///
    /// - Parameter names: what `server` and `expired` are for as well, such as `DNS:redis.example` or `IP:127.1.2.3`.
    public init(names: [String] = []) async throws {
        let folder = "/tmp/freshet-tls-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        self.folder = folder
        authority = try await Self.authority("ca", in: folder)
        strangersAuthority = try await Self.authority("stranger", in: folder)
        let here = (["DNS:localhost", "IP:127.0.0.1", "IP:::1"] + names).joined(separator: ",")
        server = try await Self.pair("server", for: here, in: folder)
        client = try await Self.pair("client", for: "DNS:client", in: folder)
        expired = try await Self.pair("expired", for: here, days: -1, in: folder)
        misnamed = try await Self.pair("misnamed", for: "DNS:elsewhere.example,IP:127.9.9.9", in: folder)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// The options with which a server listens with TLS on this port.
    ///
    /// - Parameter asksForCertificate: whether clients must show one of the authority.
    public func serverOptions(port: Int, with pair: Pair? = nil, asksForCertificate: Bool = false) -> [String]
    {
        let pair = pair ?? server
        return [
            "--tls-port", "\(port)", "--tls-cert-file", pair.certificate, "--tls-key-file", pair.key,
            "--tls-ca-cert-file", authority, "--tls-auth-clients", asksForCertificate ? "yes" : "no",
        ]
    }

    private static func authority(_ name: String, in folder: String) async throws -> String {
        try await run(
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                "\(name).key", "-out", "\(name).crt", "-days", "30", "-subj", "/CN=\(name) of a test",
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext",
                "keyUsage=critical,keyCertSign,cRLSign",
            ], in: folder)
        return "\(folder)/\(name).crt"
    }

    private static func pair(_ name: String, for names: String, days: Int = 30, in folder: String)
        async throws -> Pair
    {
        try await run(
            [
                "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                "\(name).key", "-out", "\(name).csr", "-subj", "/CN=\(name)",
            ], in: folder)
        try "subjectAltName=\(names)\n".write(
            toFile: "\(folder)/\(name).ext", atomically: true, encoding: .utf8)
        try await run(
            [
                "x509", "-req", "-in", "\(name).csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-set_serial",
                "\(UInt32.random(in: 1 ... .max))", "-days", "\(days)", "-extfile", "\(name).ext", "-out",
                "\(name).crt",
            ], in: folder)
        return Pair(certificate: "\(folder)/\(name).crt", key: "\(folder)/\(name).key")
    }

    private static func run(_ arguments: [String], in folder: String) async throws {
        let log = "\(folder)/openssl.log"
        // Paths are made absolute here, because a child has its parent's working directory.
        let files = Set(["-keyout", "-out", "-in", "-CA", "-CAkey", "-extfile"])
        var absolute = arguments
        for index in arguments.indices.dropLast() where files.contains(arguments[index]) {
            absolute[index + 1] = "\(folder)/\(arguments[index + 1])"
        }
        guard let binary = Programs.path(of: "openssl") else {
            throw MakeError(description: "openssl is not in PATH (Debian: apt-get install openssl)")
        }
        let child = try ChildProcess(binary, absolute, errors: .file(log))
        guard await child.wait() == .exited(0) else {
            let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
            throw MakeError(description: "openssl \(arguments.joined(separator: " ")): \(text)")
        }
    }
}
