import FreshetTesting
import Glibc
import Testing

@Suite struct ReplyCutterTests {
    /// A descriptor that is closed twice may be another's the second time: commands of one test went to the server of another.
    @Test func `what was stopped closes nothing of others`() async throws {
        let path = "/tmp/freshet-cutter-\(getpid()).sock"
        defer { unsafe unlink(path) }
        var ends: [Int32] = [-1, -1]
        unsafe pipe(&ends)
        let (mine, other) = (ends[0], ends[1])
        defer { for end in ends { close(end) } }
        var cutter: ReplyCutter? = try ReplyCutter(at: path, to: "/none")
        cutter?.stop()
        // These take the numbers that are free now.
        let copies = (0..<50).map { _ in dup(mine) }
        defer { for copy in copies { close(copy) } }
        cutter?.stop()
        cutter = nil
        try await Task.sleep(for: .milliseconds(100))
        #expect(copies.filter { inode($0) != inode(mine) } == [] && inode(other) == inode(mine))
    }

    private func inode(_ descriptor: Int32) -> ino_t {
        var status = stat()
        return unsafe fstat(descriptor, &status) == 0 ? status.st_ino : 0
    }
}
