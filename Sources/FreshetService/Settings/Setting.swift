/// A setting as it was read.
public struct Setting: Sendable {
    /// What of a value is not shown.
    enum Hiding: Sendable {
        case nothing
        /// The passwords of a URL.
        case passwords
        case all
    }

    /// The environment variable.
    public let name: String
    /// The value, with passwords as `***`; empty for none.
    public let value: String
    /// Where it came from.
    let origin: SettingOrigin
    let isSecret: Bool

    init(name: String, text: String, origin: SettingOrigin, hiding: Hiding) {
        self.name = name
        self.origin = origin
        isSecret = hiding != .nothing
        value =
            switch hiding {
            case .nothing: text
            case .passwords: Self.withoutPasswords(text)
            case .all: text.isEmpty ? "" : "***"
            }
    }

    /// A URL with `***` in the place of its passwords. What could be part of one goes as well: up to the last `@`, since a
    /// password may hold one that nobody has encoded.
    static func withoutPasswords(_ url: String) -> String {
        var text = url
        if let scheme = text.firstRange(of: "://"), let at = text.lastIndex(of: "@"), scheme.upperBound <= at,
            let colon = text[scheme.upperBound..<at].firstIndex(of: ":")
        {
            text.replaceSubrange(text.index(after: colon)..<at, with: "***")
        }
        guard let query = text.firstIndex(of: "?") else { return text }
        let options = text[text.index(after: query)...].split(
            separator: "&", omittingEmptySubsequences: false)
        let shown = options.map { option -> String in
            guard let equals = option.firstIndex(of: "="),
                option[..<equals].lowercased().contains("password")
            else { return String(option) }
            return "\(option[...equals])***"
        }
        return text[...query] + shown.joined(separator: "&")
    }
}

extension Setting: Encodable {
    private enum CodingKeys: String, CodingKey { case name, value, origin }

    /// Name, value and origin.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(name, forKey: .name)
        try container.encode(value, forKey: .value)
        try container.encode(origin.description, forKey: .origin)
    }
}

/// Where a setting's value stands.
enum SettingOrigin: Sendable, Equatable, CustomStringConvertible {
    case flag(String)
    case environment(String)
    case file(String, line: Int)
    /// A file that holds nothing else.
    case secret(String)
    case standard

    /// As `--print-config` says it.
    var description: String {
        switch self {
        case .flag(let name): "flag \(name)"
        case .environment(let name): "environment \(name)"
        case .file(let path, let line): "file \(path):\(line)"
        case .secret(let path): "file \(path)"
        case .standard: "default"
        }
    }

    /// How an error about a setting begins.
    func place(of name: String) -> String {
        switch self {
        case .flag(let name): name
        case .environment(let variable): variable
        case .file(let path, let line): "\(path):\(line): \(name)"
        case .secret(let path): "\(path): \(name)"
        case .standard: name
        }
    }
}
