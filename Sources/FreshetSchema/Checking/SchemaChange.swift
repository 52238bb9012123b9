internal import Freshet

/// How two exports differ in one place, and what that means for those who read events.
public struct SchemaChange: Sendable, Hashable, Encodable {
    /// The event, and its version where it is about one.
    public let event: String
    /// Where in the event's data, as a JSON path.
    public let path: String
    /// What is different.
    public let change: String
    /// Whether a consumer breaks: one of the old schema that reads new events, or one of the new schema that reads what is in the log.
    public let isBreaking: Bool
    /// Why it does, or does not.
    public let why: String
    /// What to do instead of a change that breaks; else what to mind, or nothing.
    public let instead: String

    private enum CodingKeys: String, CodingKey {
        case event, path, change, why, instead
        case isBreaking = "breaking"
    }
}

/// Why a change breaks. An event's readers and writers are replaced one by one, and the log is read for years.
enum Break {
    /// Consumers of the old schema cannot read what is published from now on.
    case forOldReaders(String)
    /// Consumers of the new schema cannot read what is in the log.
    case forTheLog(String)
    /// Both, or nobody can tell.
    case both(String)

    var reason: String {
        switch self {
        case .forOldReaders(let what): "programs of the old schema read new events: \(what)"
        case .forTheLog(let what): "the log has old events: \(what)"
        case .both(let what): what
        }
    }
}

/// What changes are noted for.
struct ChangeSubject {
    let name: String
    let remedy: String

    /// A schema alone: nobody says which version it is.
    init(name: String) {
        self.name = name
        remedy = "leave it as it is; make a new version, with an upcast"
    }

    init(_ version: EventVersion) {
        name = "\(version.type) v\(version.version)"
        remedy = "leave version \(version.version) as it is; make a new version, with an upcast"
    }

    func breaking(_ path: String, _ change: String, _ reason: Break, instead: String? = nil) -> SchemaChange {
        SchemaChange(
            event: name, path: path, change: change, isBreaking: true, why: reason.reason,
            instead: instead ?? remedy)
    }

    func compatible(_ path: String, _ change: String, _ why: String, mind: String = "") -> SchemaChange {
        SchemaChange(event: name, path: path, change: change, isBreaking: false, why: why, instead: mind)
    }
}
