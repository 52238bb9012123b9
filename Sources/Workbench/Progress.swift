internal import Glibc

/// One line on standard error that says what is measured just now, for a person at a terminal; silent elsewhere.
package struct Progress: Sendable {
    private let isShown = isatty(STDERR_FILENO) == 1

    package init() {}

    package func show(_ text: String) {
        if isShown { StandardErrorLine.write("\r\u{1B}[K\(text)", terminator: "") }
    }

    package func clear() {
        if isShown { StandardErrorLine.write("\r\u{1B}[K", terminator: "") }
    }
}

/// What is not data.
package enum StandardErrorLine {
    package static func write(_ text: String, terminator: String = "\n") {
        let bytes = Array((text + terminator).utf8)
        _ = unsafe Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }
}
