internal import FoundationEssentials
public import FreshetRecords

extension Worker {
    /// A setting of the service's own: the flag, or else the environment variable; nil when neither says anything.
    public func setting(_ flag: String?, _ variable: String) -> String? {
        (flag ?? ProcessInfo.processInfo.environment[variable]).flatMap { $0.isEmpty ? nil : $0 }
    }

    /// A number of seconds of the service's own, as `setting`. One that is none ends the worker with 78.
    public func seconds(_ flag: Double?, _ variable: String) throws -> Duration? {
        guard let text = setting(flag.map { "\($0)" }, variable) else { return nil }
        guard let seconds = Double(text), seconds > 0, seconds < 1e7 else {
            throw ToolError(.badConfiguration, "\(variable): '\(text)' is not a number of seconds above 0")
        }
        return .seconds(seconds)
    }

    /// A database beside the service's records. One that cannot be opened ends the worker with 78.
    public func open(_ url: String) throws -> any Records { try Self.open(url) }
}
