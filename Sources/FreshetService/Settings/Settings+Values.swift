extension Settings {
    /// A text; nil when it is said nowhere.
    public func text(_ name: String, _ flag: SettingFlag? = nil) throws -> String? {
        try value(name, flag, default: .shown("")) { $0 }
    }

    /// A text.
    public func text(_ name: String, _ flag: SettingFlag? = nil, default standard: String) throws -> String {
        try value(name, flag, default: .text(standard)) { $0 } ?? standard
    }

    /// A URL that may hold passwords, of a database or a server; also from the file that `NAME_FILE` names.
    public func url(_ name: String, _ flag: SettingFlag? = nil, default standard: String) throws -> String {
        try value(name, flag, hiding: .passwords, default: .text(standard)) { $0 } ?? standard
    }

    /// A secret, which is never shown; also from the file that `NAME_FILE` names. Nil when it is said nowhere.
    public func secret(_ name: String) throws -> String? {
        try value(name, nil, hiding: .all, default: .shown("")) { $0 }
    }

    /// A number of seconds above 0.
    public func seconds(_ name: String, _ flag: SettingFlag? = nil, default standard: Double) throws
        -> Duration
    {
        let seconds = try value(name, flag, default: .text(Self.text(standard))) { text in
            guard let seconds = Double(text), seconds > 0, seconds < 1e7 else {
                throw SettingProblem("'\(text)' is not a number of seconds above 0")
            }
            return seconds
        }
        return .seconds(seconds ?? standard)
    }

    /// A whole number; nil when it is said nowhere.
    public func number(_ name: String, _ flag: SettingFlag? = nil, in range: ClosedRange<Int>) throws -> Int?
    {
        try value(name, flag, default: .shown("")) { try Self.number($0, in: range) }
    }

    /// A whole number.
    public func number(
        _ name: String, _ flag: SettingFlag? = nil, in range: ClosedRange<Int>, default standard: Int
    ) throws -> Int {
        try value(name, flag, default: .text("\(standard)")) { try Self.number($0, in: range) } ?? standard
    }

    /// One of a few words; nil when it is said nowhere and no default is a word.
    func choice<Choice: RawRepresentable>(
        _ name: String, _ flag: SettingFlag?, default standard: Default, among choices: [Choice]
    ) throws -> Choice? where Choice.RawValue == String {
        try value(name, flag, default: standard) { text in
            guard
                let choice = choices.first(where: { $0.rawValue == text.lowercased() || $0.rawValue == text })
            else {
                let words = choices.map(\.rawValue).joined(separator: ", ")
                throw SettingProblem("'\(text)' is not one of \(words)")
            }
            return choice
        }
    }

    /// As people write it: 3, not 3.0.
    static func text(_ number: Double) -> String { Int(exactly: number).map { "\($0)" } ?? "\(number)" }

    private static func number(_ text: String, in range: ClosedRange<Int>) throws -> Int {
        guard let number = Int(text), range.contains(number) else {
            throw SettingProblem(
                "'\(text)' is not a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }
}
