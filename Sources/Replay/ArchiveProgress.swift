internal import FreshetService

/// How far a run is, with its rate, drawn anew in one line on a terminal; nowhere else.
struct ArchiveProgress {
    private let verb: String
    private let started = ContinuousClock.now
    private var drawn: ContinuousClock.Instant?

    init(_ verb: String) { self.verb = verb }

    mutating func show(_ done: Int, of what: String, total: Int? = nil) {
        guard StandardError.isTerminal, drawn.map({ .now - $0 > .milliseconds(200) }) ?? true else { return }
        let seconds = (ContinuousClock.now - started) / .seconds(1)
        let rate = seconds > 0 ? Int(Double(done) / seconds) : 0
        let whole = total.map { " of \($0)" } ?? ""
        StandardError.write(
            "\(drawn == nil ? "" : "\u{1b}[1A\u{1b}[2K")\(what): \(verb) \(done)\(whole), \(rate)/s")
        drawn = .now
    }

    mutating func end() { drawn = nil }
}
