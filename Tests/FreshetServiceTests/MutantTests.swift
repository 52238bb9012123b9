import Foundation
import FreshetTesting
import Testing

/// The patches of `make mutants`. Running them takes an hour; whether each can run is seen here.
@Suite struct MutantTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path

    private static let folder = "\(root)/Tests/Mutants"

    private static let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [])
        .filter { $0.hasSuffix(".patch") }.sorted()

    @Test(arguments: names)
    func `a mutant applies to today's code, and names its proof and the invariant that it breaks`(
        _ name: String
    ) async throws {
        let path = "\(Self.root)/Tests/Mutants/\(name)"
        let head = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").prefix(3)
        try #require(head.count == 3)
        #expect(head[0].hasPrefix("# ") && head[0].hasSuffix("."), "the first line says what the mutant does")
        let proof = head[1].split(separator: " ")
        #expect(head[1].hasPrefix("# proof: ") && proof.count > 3, "\(head[1])")
        #expect(["soak", "test"].contains(proof[2]), "\(head[1])")
        #expect(head[2].hasPrefix("# broken: ") && head[2].count > 20, "\(head[2])")
        let patch = try #require(Programs.path(of: "patch"), "Debian: apt-get install patch")
        let (ending, text) = try await Programs.run(
            patch, ["--dry-run", "--silent", "-p1", "-F0", "-d", Self.root, "-i", path])
        #expect(ending == .exited(0), "\(name): \(text)")
    }

    @Test func `a proof that is a soak is one that there is, and says what the mutant is to break`() throws {
        #expect(Self.names.count >= 11)
        let soak = try FileManager.default.subpathsOfDirectory(atPath: "\(Self.root)/Sources")
            .filter { ($0.hasPrefix("Soak") || $0.hasPrefix("Shop/Verifying")) && $0.hasSuffix(".swift") }
            .map { try String(contentsOfFile: "\(Self.root)/Sources/\($0)", encoding: .utf8) }.joined()
        let tests = try FileManager.default.subpathsOfDirectory(atPath: Self.root)
            .filter { $0.hasPrefix("Tests/") || $0.hasPrefix("Sources/FreshetTesting/Conformance/") }
            .filter { $0.hasSuffix(".swift") }
            .map { try String(contentsOfFile: "\(Self.root)/\($0)", encoding: .utf8) }.joined()
        for name in Self.names {
            let text = try String(contentsOfFile: "\(Self.root)/Tests/Mutants/\(name)", encoding: .utf8)
            let lines = text.split(separator: "\n").map(String.init)
            let broken = String(try #require(lines.first { $0.hasPrefix("# broken: ") }).dropFirst(10))
            let isSoak = lines.contains { $0.hasPrefix("# proof: soak ") }
            // What a check says of one topic or service begins with what it says of all.
            let fixed = broken.split(separator: "'").first.map(String.init) ?? broken
            #expect((isSoak ? soak : tests).contains(fixed), "\(name): nothing says '\(broken)'")
        }
    }
}
