internal import FoundationEssentials
internal import FreshetReplay
internal import FreshetService

/// How far a replay is: a bar that is drawn anew on a terminal, a line of JSON every five seconds elsewhere.
struct ProgressLine {
    private struct Line: Encodable {
        let replay: String
        let done, total: Int
        let rate: Double
        let secondsLeft: Double?
        let unsettled: Int
        let note: String
    }
    private let replay: String
    private let isTerminal = StandardError.isTerminal
    private var lastLine = ContinuousClock.now
    private var isDrawn = false

    init(_ replay: String) { self.replay = replay }

    mutating func show(_ progress: ReplayProgress) {
        let left = progress.rate > 0 ? Double(max(0, progress.total - progress.done)) / progress.rate : nil
        if isTerminal {
            draw(Self.bar(progress, left: left))
        } else if ContinuousClock.now - lastLine >= .seconds(5) {
            lastLine = .now
            let line = Line(
                replay: replay, done: progress.done, total: progress.total, rate: progress.rate.rounded(),
                secondsLeft: left?.rounded(), unsettled: progress.unsettled, note: progress.note)
            if let text = try? OutputOptions.json(line, pretty: false) { StandardError.write(text) }
        }
    }

    /// Leaves the terminal's line to what comes next.
    mutating func clear() {
        if isDrawn { StandardError.draw("") }
        isDrawn = false
    }

    private mutating func draw(_ text: String) {
        StandardError.draw(text)
        isDrawn = true
    }

    static func bar(_ progress: ReplayProgress, left: Double?) -> String {
        let width = 24
        let part = progress.total > 0 ? min(1, Double(progress.done) / Double(progress.total)) : 1
        let filled = Int(part * Double(width))
        var text =
            "[\(String(repeating: "#", count: filled))\(String(repeating: ".", count: width - filled))]"
        text += " \(Int(part * 100))% \(Spelled.count(progress.done))/\(Spelled.count(progress.total))"
        if progress.note.isEmpty {
            text += " \(Spelled.count(Int(progress.rate)))/s"
            if let left { text += " \(Spelled.seconds(left)) left" }
        } else {
            text += " \(progress.note)"
        }
        return text
    }
}
