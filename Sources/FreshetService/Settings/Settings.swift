internal import FoundationEssentials
internal import Synchronization

/// A program's settings: each from its flag, else the environment, else the configuration file, else its default.
///
///     let settings = try options.settings()
///     let deadline = try settings.seconds("PAYMENT_DEADLINE", .flag("--payment-deadline", deadline), default: 900)
///
/// The file has lines `NAME=value` with the names of the environment. A secret `NAME` is also read from the file that
/// `NAME_FILE` names. An empty value is none. What was read is remembered with its origin: for `--print-config`, and for
/// errors, which name the flag, the variable or the line that is wrong and show no secret.
///
/// Errors are `ToolError`s: `usage` for a flag, `badConfiguration` for all else and for URLs and secrets.
public final class Settings: Sendable {
    private let environment: [String: String]
    private let file: SettingsFile?
    private let found = Mutex<[Setting]>([])

    /// The settings of this process.
    ///
    /// - Parameter path: the configuration file; nil for the one that `FRESHET_CONFIG` names, if any.
    public convenience init(file path: String? = nil) throws {
        try self.init(file: path, environment: ProcessInfo.processInfo.environment)
    }

    init(file path: String?, environment: [String: String]) throws(ToolError) {
        self.environment = environment
        let named = SettingFlag.flag("--config", path)
        if let text = named.text {
            file = try SettingsFile(path: text, namedBy: "--config")
            add("FRESHET_CONFIG", text, .flag("--config"))
        } else if let text = environment["FRESHET_CONFIG"], !text.isEmpty {
            file = try SettingsFile(path: text, namedBy: "FRESHET_CONFIG")
            add("FRESHET_CONFIG", text, .environment("FRESHET_CONFIG"))
        } else {
            file = nil
        }
    }

    /// What was read so far, in that order.
    public var all: [Setting] { found.withLock { $0 } }

    /// Refuses a file with names that nobody asked for: they are misspelt, or of another program. Call it when all is read.
    func refuseUnknownNames() throws(ToolError) {
        guard let file else { return }
        let known = Set(all.flatMap { $0.isSecret ? [$0.name, $0.name + "_FILE"] : [$0.name] })
        for (name, line) in file.lines.sorted(by: { $0.value.number < $1.value.number })
        where !known.contains(name) {
            throw ToolError(
                .badConfiguration, "\(file.path):\(line.number): this program has no setting '\(name)'")
        }
    }

    /// Looks a setting up and reads it; nil when it is said nowhere and has no default.
    ///
    /// - Parameter standard: the default: its text, or what it is shown as when it has none.
    func value<Value>(
        _ name: String, _ flag: SettingFlag?, hiding: Setting.Hiding = .nothing, default standard: Default,
        _ read: (String) throws -> Value
    ) throws(ToolError) -> Value? {
        guard let (text, origin) = try look(for: name, flag, isSecret: hiding != .nothing) else {
            switch standard {
            case .shown(let text):
                add(name, text, .standard)
                return nil
            case .text(let text):
                add(name, text, .standard, hiding)
                return try parsed(text, name, .standard, hiding, read)
            }
        }
        add(name, text, origin, hiding)
        return try parsed(text, name, origin, hiding, read)
    }

    /// What is said, and remembered only then: of names that are many, and that mostly nobody sets.
    func said(_ name: String, hiding: Setting.Hiding = .nothing) throws(ToolError) -> String? {
        guard let (text, origin) = try look(for: name, nil, isSecret: hiding != .nothing) else { return nil }
        add(name, text, origin, hiding)
        return text
    }

    private func parsed<Value>(
        _ text: String, _ name: String, _ origin: SettingOrigin, _ hiding: Setting.Hiding,
        _ read: (String) throws -> Value
    ) throws(ToolError) -> Value {
        do { return try read(text) } catch {
            var isUsage = hiding == .nothing
            if case .flag = origin {} else { isUsage = false }
            let reason = (error as? SettingProblem)?.description ?? "\(error)"
            throw ToolError(isUsage ? .usage : .badConfiguration, "\(origin.place(of: name)): \(reason)")
        }
    }

    private func look(for name: String, _ flag: SettingFlag?, isSecret: Bool) throws(ToolError)
        -> (text: String, origin: SettingOrigin)?
    {
        if let flag, let text = flag.text { return (text, .flag(flag.name)) }
        if let text = environment[name], !text.isEmpty { return (text, .environment(name)) }
        if isSecret, let path = environment[name + "_FILE"], !path.isEmpty {
            return (try SettingsFile.secret(in: path, namedBy: name + "_FILE"), .secret(path))
        }
        guard let file else { return nil }
        if let line = file.lines[name], !line.value.isEmpty {
            return (line.value, .file(file.path, line: line.number))
        }
        if isSecret, let line = file.lines[name + "_FILE"], !line.value.isEmpty {
            let place = "\(file.path):\(line.number): \(name)_FILE"
            return (try SettingsFile.secret(in: line.value, namedBy: place), .secret(line.value))
        }
        return nil
    }

    private func add(
        _ name: String, _ text: String, _ origin: SettingOrigin, _ hiding: Setting.Hiding = .nothing
    ) {
        found.withLock { found in
            let setting = Setting(name: name, text: text, origin: origin, hiding: hiding)
            if let place = found.firstIndex(where: { $0.name == name }) {
                found[place] = setting
            } else {
                found.append(setting)
            }
        }
    }

    /// What a setting is that nobody says.
    enum Default {
        /// This text.
        case text(String)
        /// No text; it is shown as this.
        case shown(String)
    }
}

/// A flag, and what was given with it.
public struct SettingFlag: Sendable {
    let name: String
    /// Nil when it was not given, or empty.
    let text: String?

    /// A flag as it is written on a command line, such as `--lease`, and its value.
    public static func flag(_ name: String, _ value: (some CustomStringConvertible)?) -> SettingFlag {
        SettingFlag(name: name, text: value.map(\.description).flatMap { $0.isEmpty ? nil : $0 })
    }

    /// A flag with a number of seconds.
    public static func flag(_ name: String, _ seconds: Double?) -> SettingFlag {
        SettingFlag(name: name, text: seconds.map(Settings.text))
    }
}

/// Why a value will not do, for a person.
struct SettingProblem: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
