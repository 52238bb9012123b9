import FoundationEssentials
import FreshetTesting
import Testing

@Suite struct CertificateTests {
    /// Whether `openssl verify` accepts a certificate, and what it prints.
    private func verify(
        _ pair: TestCertificates.Pair, by authority: String, _ options: [String]
    ) async throws -> (accepted: Bool, text: String) {
        let file = "\(pair.certificate).\(UInt64.random(in: 0 ... .max))"
        let child = try ChildProcess(
            "/usr/bin/openssl", ["verify", "-CAfile", authority] + options + [pair.certificate],
            output: .file(file), errors: .file(file))
        let accepted = await child.wait() == .exited(0)
        return (accepted, try String(contentsOfFile: file, encoding: .utf8))
    }

    @Test func `each certificate is refused for its own reason, and only for that`() async throws {
        let made = try await TestCertificates(names: ["DNS:redis.example", "IP:127.9.8.7"])
        let authority = made.authority
        for name in ["localhost", "redis.example"] {
            #expect(try await verify(made.server, by: authority, ["-verify_hostname", name]).accepted)
        }
        for address in ["127.0.0.1", "127.9.8.7"] {
            #expect(try await verify(made.server, by: authority, ["-verify_ip", address]).accepted)
        }
        #expect(try await verify(made.client, by: authority, ["-purpose", "sslclient"]).accepted)

        let expired = try await verify(made.expired, by: authority, ["-verify_hostname", "localhost"])
        #expect(!expired.accepted && expired.text.contains("certificate has expired"))
        #expect(try await verify(made.expired, by: authority, ["-no_check_time"]).accepted)
        let misnamed = try await verify(made.misnamed, by: authority, ["-verify_hostname", "localhost"])
        #expect(!misnamed.accepted && misnamed.text.contains("hostname mismatch"))
        #expect(try await verify(made.misnamed, by: authority, []).accepted)
        let stranger = try await verify(made.server, by: made.strangersAuthority, [])
        #expect(!stranger.accepted && stranger.text.contains("unable to get local issuer certificate"))
    }

    @Test func `the files go with the object`() async throws {
        var made: TestCertificates? = try await TestCertificates()
        let folder = try #require(made?.folder)
        #expect(FileManager.default.fileExists(atPath: "\(folder)/server.key"))
        made = nil
        #expect(!FileManager.default.fileExists(atPath: folder))
    }
}
