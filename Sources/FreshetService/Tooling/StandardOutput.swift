internal import Glibc

/// The data of a tool: nothing else goes to standard output.
public enum StandardOutput {
    /// Writes a line at once: a reader behind a pipe sees it without delay, and no exit loses it.
    public static func write(_ line: String) { FileOutput.write(line + "\n", to: 1) }

    /// On a terminal: clears it, and begins again at its top with this line.
    public static func redraw(asOf line: String) {
        FileOutput.write("\u{1b}[H\u{1b}[2J\u{1b}[3J\(line)\n", to: 1)
    }

    /// How many columns the terminal has; nil when standard output is none.
    public static var terminalWidth: Int? {
        guard isatty(1) == 1 else { return nil }
        var size = winsize()
        guard unsafe ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }
}

/// Lines for people, beside the data on standard output.
public enum StandardError {
    /// Writes a line to standard error.
    public static func write(_ line: String) { FileOutput.write(line + "\n", to: 2) }

    /// Draws a terminal's last line anew; an empty text leaves it to what comes next.
    public static func draw(_ text: String) { FileOutput.write("\r\u{1b}[K\(text)", to: 2) }

    /// Whether people look at it.
    public static var isTerminal: Bool { isatty(2) == 1 }
}

private enum FileOutput {
    /// Whole, or as much as the reader takes before it goes away.
    static func write(_ text: String, to descriptor: Int32) {
        let bytes = Array(text.utf8)
        var written = 0
        while written < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[written...])
                return unsafe Glibc.write(descriptor, rest.baseAddress, rest.count)
            }
            if count < 0 && errno != EINTR { return }
            written += max(0, count)
        }
    }
}
