internal import FoundationEssentials
internal import Freshet
internal import Glibc
public import Logging

/// How log lines look.
public enum LogFormat: String, Sendable, CaseIterable {
    /// For people: time, level, message, metadata.
    case text
    /// For machines: one JSON object a line.
    case json
}

/// Writes each log message as one line to standard error.
public struct LineLogHandler: LogHandler {
    /// Messages below it are dropped.
    public var logLevel: Logger.Level
    /// What goes with every message.
    public var metadata: Logger.Metadata = [:]
    /// What is known of the task that writes a message: the delivery that it handles.
    public var metadataProvider: Logger.MetadataProvider? = .delivery
    private let format: LogFormat
    private let service: String

    /// A handler for this service.
    public init(service: String, level: Logger.Level, format: LogFormat) {
        self.service = service
        self.format = format
        logLevel = level
    }

    /// What goes with every message, by key.
    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// Writes one line.
    public func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
        if let own = event.metadata { all.merge(own) { $1 } }
        if let error = event.error { all["error"] = "\(error)" }
        let line =
            switch format {
            case .text: text(event.level, event.message, all)
            case .json: json(event.level, event.message, all)
            }
        // One write a line, so that lines of several processes on one terminal or pipe do not mix.
        let bytes = Array((line + "\n").utf8)
        _ = unsafe bytes.withUnsafeBytes { unsafe write(2, $0.baseAddress, $0.count) }
    }

    private func text(_ level: Logger.Level, _ message: Logger.Message, _ metadata: Logger.Metadata) -> String
    {
        let time = Date().ISO8601Format(.iso8601.time(includingFractionalSeconds: false))
        let details = metadata.sorted { $0.key < $1.key }.map { " \($0)=\($1)" }.joined()
        return "\(time) \(level.rawValue.uppercased()) \(service): \(message)\(details)"
            .replacing("\n", with: "\\n")
    }

    private func json(_ level: Logger.Level, _ message: Logger.Message, _ metadata: Logger.Metadata) -> String
    {
        var object = Dictionary(uniqueKeysWithValues: metadata.map { ($0.key, "\($0.value)") })
        object["time"] = Date().ISO8601Format(.iso8601WithTimeZone())
        object["level"] = level.rawValue
        object["message"] = message.description
        object["service"] = service
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(object)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }
}

extension LogFormat {
    /// Text when standard error is a terminal, else JSON.
    public static var suited: LogFormat { isatty(2) == 1 ? .text : .json }
}
