internal import Hiredis

extension Duration {
    private static let units: [(suffix: String, milliseconds: Int)] = [
        ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000),
    ]

    /// `500ms`, `90s`, `15m`, `2h`, `7d`; nil when it is none of them.
    package init?(spelled text: String) {
        for (suffix, milliseconds) in Self.units where text.hasSuffix(suffix) {
            guard let number = Int(text.dropLast(suffix.count)), (0..<1_000_000_000).contains(number) else {
                continue
            }
            self = .milliseconds(number * milliseconds)
            return
        }
        return nil
    }

    /// In the largest unit that it is a whole number of.
    package var spelled: String {
        let milliseconds = inMilliseconds
        let unit = Self.units.last { milliseconds % $0.milliseconds == 0 } ?? ("ms", 1)
        return "\(milliseconds / unit.milliseconds)\(unit.suffix)"
    }
}
