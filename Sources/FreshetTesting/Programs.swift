internal import FoundationEssentials

/// Programs of this machine, by name.
enum Programs {
    /// The path of a program: in the folders of `PATH`, then where Debian keeps it. (`PATH` of a service often lacks
    /// the `sbin` folders, and an empty environment has none.)
    static func path(of name: String) -> String? {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(
            String.init)
        return (folders + ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/sbin"]).lazy.map { "\($0)/\(name)" }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }
}
