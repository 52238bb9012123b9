/// How an event's data of one version becomes the next version's: old events stay in the log as they are, and programs see the
/// newest shape only.
///
///     struct OrderPlacedV1: EventPayload {                      // as it was
///         static let eventType: EventType = "order.placed"
///         let orderId: String, name: String
///     }
///
///     struct OrderPlaced: EventPayload {                        // as it is
///         static let eventType: EventType = "order.placed"
///         static let schemaVersion = 2
///         static let upcast = Upcast<Self>(from: OrderPlacedV1.self) { old in
///             OrderPlaced(orderId: old.orderId, name: old.name, channel: "unknown")
///         }
///         let orderId: String, name: String, channel: String
///     }
///
/// Each version says this of the one before it, so they form a chain down to version 1. A subscription whose chain has a gap
/// does not start. Deploy those who read the new version before those who write it: a program that meets a newer version than it
/// knows keeps the event in its group's `invalid` stream, from where `freshet invalid retry` brings it back after the upgrade.
public struct Upcast<Payload: EventPayload>: Sendable {
    /// The version before; nil for the first.
    let previous: (any EventPayload.Type)?
    private let convert: @Sendable (Event) throws(FreshetError) -> Payload

    /// Reads the version before, and makes this one of it.
    ///
    /// - Parameters:
    ///   - previous: the shape of the version before, with the same `eventType` and a `schemaVersion` one lower.
    ///   - convert: makes this version's payload; pure, because an event may be read often. When it throws, the event is invalid.
    public init<Previous: EventPayload>(
        from previous: Previous.Type, _ convert: @escaping @Sendable (Previous) throws -> Payload
    ) {
        self.previous = previous
        self.convert = { event throws(FreshetError) in
            let old = try Previous.read(event)
            do { return try convert(old) } catch {
                throw FreshetError(
                    .invalidData,
                    "version \(Previous.schemaVersion) cannot become version \(Payload.schemaVersion): \(error)"
                )
            }
        }
    }

    private init() {
        previous = nil
        convert = { event throws(FreshetError) in
            throw FreshetError(
                .versionGap, "version \(event.schemaVersion) of '\(event.type)' cannot be read any more")
        }
    }

    /// There is no version before.
    public static var none: Upcast { Upcast() }

    func read(_ event: Event) throws(FreshetError) -> Payload { try convert(event) }
}

extension EventPayload {
    /// The event's data in this shape, whichever version it has.
    static func read(_ event: Event) throws(FreshetError) -> Self {
        if event.schemaVersion == schemaVersion { return try event.decode(Self.self) }
        guard event.schemaVersion < schemaVersion else { throw .newer(event, than: schemaVersion) }
        return try upcast.read(event)
    }

    /// All versions, this one first.
    package static var versions: [any EventPayload.Type] {
        var versions: [any EventPayload.Type] = [self]
        // Two that name each other would go on for ever.
        while versions.count <= schemaVersion, let next = versions.last.flatMap({ $0.previous }) {
            versions.append(next)
        }
        return versions
    }

    private static var previous: (any EventPayload.Type)? { upcast.previous }

    /// What is wrong with the way from version 1 to this one; nil when nothing is.
    package static var versionProblem: FreshetError? {
        var expected = schemaVersion
        for version in versions {
            guard version.eventType == eventType, version.schemaVersion == expected else {
                return FreshetError(
                    .versionGap,
                    "version \(expected) of '\(eventType)' is missing: an upcast of \(self) leads from version "
                        + "\(version.schemaVersion) of '\(version.eventType)'")
            }
            expected -= 1
        }
        guard expected == 0 else {
            return FreshetError(
                .versionGap,
                "version \(expected) of '\(eventType)' is missing: say with 'upcast' how it becomes version \(expected + 1)"
            )
        }
        return nil
    }
}

extension FreshetError {
    static func newer(_ event: Event, than newest: Int) -> FreshetError {
        FreshetError(
            .newerVersion, "schemaversion \(event.schemaVersion) is newer than \(newest), the newest known")
    }
}
