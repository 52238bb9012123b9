internal import Freshet
internal import FreshetReplay
internal import FreshetService
internal import Hiredis

extension ReplayPlan {
    /// What it will do, in sentences for a person.
    var text: String {
        var lines = [
            "\(intention)\(types), from \(selected.first?.description ?? "") to \(selected.last?.description ?? "")."
        ]
        if selected.partitions.count > 1 {
            let counts = selected.partitions.sorted { $0.key < $1.key }.map { "\($0.value) of \($0.key)" }
            lines.append("By partition: \(counts.joined(separator: ", ")).")
        }
        if let first = selected.firstEvent, let last = selected.lastEvent {
            lines.append("First \(Self.named(first)), last \(Self.named(last)).")
        }
        if let logBegins {
            lines.append(
                "The log begins with \(logBegins): what came before has been cut off. --archive FOLDER reads that as well."
            )
        }
        if selected.ahead > 0 {
            lines.append(
                "\(selected.ahead) of them it has not read yet, and will see twice; an inbox tells them apart."
            )
        }
        if let skipped = selected.skipped {
            lines.append(
                "Its inbox has \(skipped) of them, which it will skip; \(selected.count - skipped) will be done."
            )
        }
        if !selected.silenced.isEmpty {
            let types = selected.silenced.sorted { $0.key < $1.key }
                .map { "\($0.value) \(OneLine.escaped($0.key))" }
            lines.append(
                "Its handlers do not see, because they are not for replays: \(types.joined(separator: ", "))."
            )
        }
        if estimatedSeconds >= 5 {
            lines.append("All are on their way in about \(Spelled.seconds(estimatedSeconds)).")
        }
        return lines.joined(separator: "\n")
    }

    private static func named(_ event: ReplaySurvey.Sample) -> String {
        let words = [event.type, event.eventID, event.time.isEmpty ? "" : "(\(event.time))"].filter {
            !$0.isEmpty
        }
        return OneLine.escaped(words.joined(separator: " "))
    }

    private var intention: String {
        let what = "\(selected.count) \(source.kind == .dead ? "dead letters" : "events") of '\(topic)'"
        return switch target.kind {
        case .group: "Will have '\(target.name)' see \(what) again"
        case .topic: "Will publish \(what) anew to '\(target.name)', whose groups all see them"
        case .file: "Will write \(what) to '\(OneLine.escaped(target.name))'"
        }
    }

    private var types: String {
        let types = selected.types.sorted { $0.key < $1.key }
            .map { "\($0.value) \($0.key.isEmpty ? "without a type" : OneLine.escaped($0.key))" }
        return " (\(types.joined(separator: ", ")))"
    }

    /// What was done with this many, in a sentence.
    func sentence(_ count: Int) -> String {
        switch target.kind {
        case .group: "redelivered \(count) events to '\(target.name)'"
        case .topic: "published \(count) events to '\(target.name)'"
        case .file: "wrote \(count) events to '\(OneLine.escaped(target.name))'"
        }
    }
}

/// Numbers as people read them.
enum Spelled {
    /// `8s`, `3m 20s`, `2h 5m`, `4d 3h`.
    static func seconds(_ seconds: Double) -> String {
        let whole = Int(min(max(0, seconds.rounded(.up)), 1e9))
        switch whole {
        case ..<60: return "\(whole)s"
        case ..<3600: return "\(whole / 60)m \(whole % 60)s"
        case ..<86_400: return "\(whole / 3600)h \(whole % 3600 / 60)m"
        default: return "\(whole / 86_400)d \(whole % 86_400 / 3600)h"
        }
    }

    /// With a comma before each three digits.
    static func count(_ number: Int) -> String {
        var (digits, text) = (Array(String(number.magnitude)), "")
        while digits.count > 3 {
            text = ",\(String(digits.suffix(3)))\(text)"
            digits.removeLast(3)
        }
        return "\(number < 0 ? "-" : "")\(String(digits))\(text)"
    }
}
