internal import FoundationEssentials
internal import Glibc

/// One thread, or one process as a whole, as /proc shows it.
struct ThreadTime: Sendable {
    let id: Int32
    let name: String
    let parent: Int32
    let seconds: Double

    /// What a `stat` file says; nil when there is none (any more).
    init?(path: String) {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8),
            // The name may hold anything, also parentheses.
            let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")"),
            let id = Int32(text[..<open].dropLast())
        else { return nil }
        let fields = text[close...].split(separator: " ")
        // proc(5): behind the name come the state (3) and the parent (4); utime is 14, stime is 15.
        guard fields.count > 13, let parent = Int32(fields[2]), let user = Double(fields[12]),
            let system = Double(fields[13])
        else { return nil }
        self.id = id
        self.parent = parent
        name = String(text[text.index(after: open)..<close])
        seconds = (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// The threads of a process.
    static func all(of process: Int32) -> [ThreadTime] {
        let folder = "/proc/\(process)/task"
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return threads.compactMap { ThreadTime(path: "\(folder)/\($0)/stat") }
    }

    /// All processes.
    static func processes() -> [ThreadTime] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.filter { Int32($0) != nil }.compactMap { ThreadTime(path: "/proc/\($0)/stat") }
    }
}
