internal import Freshet
internal import Logging

/// Says how far a rebuild is: a line that is drawn anew on a terminal, a log line every few seconds elsewhere.
struct RebuildProgress {
    private let logger: Logger
    private let total: Int
    private let began = ContinuousClock.now
    private var lastSaid = ContinuousClock.now
    private var isDrawn = false

    /// - Parameter total: how many entries there are to read.
    init(total: Int, logger: Logger) { (self.total, self.logger) = (total, logger) }

    /// - Parameter done: how many entries were read.
    mutating func show(_ done: Int) {
        let now = ContinuousClock.now
        guard now - lastSaid >= (StandardError.isTerminal ? .milliseconds(200) : .seconds(5)) else { return }
        lastSaid = now
        let passed = (now - began) / .seconds(1)
        let rate = Double(done) / max(passed, 0.001)
        let left = rate > 0 ? Int(Double(max(0, total - done)) / rate) : 0
        guard StandardError.isTerminal else {
            logger.notice(
                "rebuilding",
                metadata: [
                    "done": "\(done)", "total": "\(total)", "eventsPerSecond": "\(Int(rate))",
                    "secondsLeft": "\(left)",
                ])
            return
        }
        let full = total == 0 ? 30 : min(30, done * 30 / total)
        let bar = String(repeating: "█", count: full) + String(repeating: "░", count: 30 - full)
        StandardError.write(
            "\(isDrawn ? "\u{1b}[1A\u{1b}[2K" : "")\(bar) \(done)/\(total)  \(Int(rate))/s  \(left) s left")
        isDrawn = true
    }
}
