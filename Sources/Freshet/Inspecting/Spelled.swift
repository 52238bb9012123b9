/// Figures as people read them, the same in all tools.
package enum Spelled {
    /// `0.4s`, `12s`, `2m 10s`, `3h 5m`, `4d 2h`.
    package static func time(_ seconds: Double) -> String {
        guard seconds < 1e10 else { return "ages" }
        if seconds < 9.95 {
            let tenths = Int((max(0, seconds) * 10).rounded())
            return tenths % 10 == 0 ? "\(tenths / 10)s" : "\(tenths / 10).\(tenths % 10)s"
        }
        let whole = Int(seconds.rounded())
        func both(_ large: Int, _ largeUnit: String, _ small: Int, _ smallUnit: String) -> String {
            small == 0 ? "\(large)\(largeUnit)" : "\(large)\(largeUnit) \(small)\(smallUnit)"
        }
        if whole < 60 { return "\(whole)s" }
        if whole < 3600 { return both(whole / 60, "m", whole % 60, "s") }
        if whole < 86_400 { return both(whole / 3600, "h", whole % 3600 / 60, "m") }
        return both(whole / 86_400, "d", whole % 86_400 / 3600, "h")
    }

    /// `1,840`.
    package static func count(_ number: Int) -> String {
        var text = ""
        for (index, digit) in "\(number.magnitude)".reversed().enumerated() {
            if index > 0, index % 3 == 0 { text = "," + text }
            text = "\(digit)" + text
        }
        return number < 0 ? "-\(text)" : text
    }

    /// `340/s`, or `0.5/s` where it is slow.
    package static func rate(_ perSecond: Double) -> String {
        guard perSecond < 1e12 else { return "?/s" }
        if perSecond >= 9.95 || perSecond == perSecond.rounded() {
            return "\(count(Int(perSecond.rounded())))/s"
        }
        let tenths = max(perSecond > 0 ? 1 : 0, Int((perSecond * 10).rounded()))
        return tenths % 10 == 0 ? "\(tenths / 10)/s" : "\(tenths / 10).\(tenths % 10)/s"
    }

    /// `1 consumer`, `2 consumers`.
    package static func number(_ count: Int, _ noun: String, _ plural: String? = nil) -> String {
        "\(self.count(count)) \(count == 1 ? noun : plural ?? noun + "s")"
    }
}
