internal import FreshetService
internal import Glibc

/// What a program said and how it ended: one that is run to its end, for what it prints.
struct ProgramOutcome {
    let output: [UInt8]
    let errors: [UInt8]
    private let status: Int32

    /// Nil when a signal ended it.
    var exitCode: Int32? { status & 0x7f == 0 ? (status >> 8) & 0xff : nil }
    /// How it ended, in words.
    var ending: String { exitCode.map { "exit code \($0)" } ?? "signal \(status & 0x7f)" }

    /// Runs the program, which is looked for in PATH when its name has no slash, and kills it when it has not ended within the limit.
    static func of(_ program: String, _ argument: String, within limit: Duration) async throws
        -> ProgramOutcome
    {
        // Files: unlike pipes they need nobody who empties them.
        let (output, errors) = (try unnamedFile(), try unnamedFile())
        defer { for file in [output, errors] { close(file) } }
        let process = try spawn(program, argument, output, errors)
        let deadline = ContinuousClock.now + limit
        var status: Int32 = 0
        while true {
            let ended = unsafe waitpid(process, &status, WNOHANG)
            if ended == process || (ended == -1 && errno != EINTR) { break }
            if ContinuousClock.now > deadline { kill(process, SIGKILL) }
            try await Task.sleep(for: .milliseconds(5))
        }
        guard ContinuousClock.now <= deadline else {
            throw ToolError(.failed, "\(program) \(argument): not done within \(limit)")
        }
        return ProgramOutcome(output: contents(of: output), errors: contents(of: errors), status: status)
    }

    private static func spawn(
        _ program: String, _ argument: String, _ output: Int32, _ errors: Int32
    ) throws(ToolError) -> pid_t {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        unsafe posix_spawn_file_actions_adddup2(&actions, output, 1)
        unsafe posix_spawn_file_actions_adddup2(&actions, errors, 2)
        var process = pid_t()
        let words = [String](arrayLiteral: program, argument)
        var arguments: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) } + [nil]
        defer { unsafe arguments.forEach { unsafe free($0) } }
        let result = unsafe posix_spawnp(&process, program, &actions, nil, &arguments, environ)
        guard result == 0 else {
            throw ToolError(.failed, "\(program): \(unsafe String(cString: strerror(result)))")
        }
        return process
    }

    private static func unnamedFile() throws(ToolError) -> Int32 {
        var path = Array("/tmp/freshet-XXXXXX".utf8CString)
        let file = unsafe mkstemp(&path)
        guard file >= 0 else {
            throw ToolError(.failed, "no file in /tmp: \(unsafe String(cString: strerror(errno)))")
        }
        unsafe unlink(path)
        return file
    }

    private static func contents(of file: Int32) -> [UInt8] {
        let size = lseek(file, 0, SEEK_END)
        guard size > 0 else { return [] }
        return unsafe [UInt8](unsafeUninitializedCapacity: Int(size)) { buffer, count in
            unsafe count = max(0, pread(file, buffer.baseAddress, Int(size), 0))
        }
    }
}
