internal import Glibc

/// Lines for people, beside the data on standard output.
public enum StandardError {
    /// Writes a line to standard error.
    public static func write(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(2, $0.baseAddress, $0.count) }
    }
}
