import Foundation
import Freshet
import Testing

@testable import FreshetService

/// What the doctor takes for needed is what docker/acl/users.conf grants, where AccessTests show that nothing can be left out.
@Suite struct RequiredRightsTests {
    /// The commands of a user of the list, as an ACL has them, without the roles that it takes over.
    private static func granted(_ user: String) throws -> Set<String> {
        let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let text = try String(contentsOfFile: "\(root)/docker/acl/users.conf", encoding: .utf8)
        return Set(
            text.split(separator: "\n").compactMap { line in
                let words = line.split(separator: " ")
                guard words.count > 1, words[0] == user, words[1].hasPrefix("+") else { return nil }
                return words[1].dropFirst().uppercased()
            })
    }

    private static let keys = PartitionKeys(namespace: "shop", topic: "orders", partition: 0)

    private static func names(_ rights: [RequiredRight]) -> Set<String> { Set(rights.map(\.name)) }

    @Test func `who publishes is asked for what publishers have`() throws {
        let granted = try Self.granted("place")
        let asked = Self.names(RequiredRight.publishing(Self.keys))
        #expect(asked.subtracting(granted) == [])
        // For topics that want replicas.
        #expect(granted.subtracting(asked) == ["SET", "WAIT"])
    }

    @Test func `who consumes is asked for what workers have`() throws {
        let granted = try Self.granted(".worker")
        let asked = Self.names(RequiredRight.consuming(Self.keys, "payment"))
        #expect(asked.subtracting(granted) == [])
        let others: Set = [
            // publishing, to topics that want replicas too
            "WAIT",
            // the outbox
            "MULTI", "EXEC",
            // metrics
            "GET", "ZCARD", "ZCOUNT",
            // on its own connection, which no key bounds
            "CLIENT|UNBLOCK",
        ]
        #expect(granted.subtracting(asked) == others)
    }
}
