/// Which deliveries a handler is for. One that does not say is for those that come by themselves or are
/// redelivered, and keeps its service from being rebuilt; one whose effects are all in records (`On(_:in:)`)
/// is for all.
///
///     On(OrderPlaced.self, for: [.live, .redelivery]) { order, delivery in try await charge(order) }
///
/// A delivery that no handler is for ends as one of a type without a handler: acknowledged, and counted as ignored. Two handlers of
/// one type may share the kinds between them.
public struct DeliveryKinds: OptionSet, Sendable, Hashable {
    /// One bit a kind.
    public let rawValue: UInt8

    /// These bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// What comes by itself, also when it is tried again.
    public static let live = DeliveryKinds(rawValue: 1)
    /// What a replay brings again, to be done if it was not.
    public static let redelivery = DeliveryKinds(rawValue: 2)
    /// What a rebuild of the service's records brings: the world knows of it, and is not to be told again.
    public static let rebuild = DeliveryKinds(rawValue: 4)

    /// All of them.
    public static let all: DeliveryKinds = [.live, .redelivery, .rebuild]
    /// Only what comes by itself.
    public static let notOnReplay: DeliveryKinds = [.live]

    /// The kind of what this replay brings; without one it came by itself.
    init(_ mode: DeliveryReplay.Mode?) {
        self =
            switch mode {
            case nil: .live
            case .redeliver: .redelivery
            case .rebuild: .rebuild
            }
    }

    private static let names: [(name: String, kind: DeliveryKinds)] = [
        ("live", .live), ("redelivery", .redelivery), ("rebuild", .rebuild),
    ]
}

/// As the names of its kinds.
extension DeliveryKinds: Codable {
    /// Names that are not known are passed over: a newer program may have written them.
    public init(from decoder: any Decoder) throws {
        let names = try [String](from: decoder)
        self.init(Self.names.filter { names.contains($0.name) }.map(\.kind))
    }

    /// The names of its kinds.
    public func encode(to encoder: any Encoder) throws {
        try Self.names.filter { contains($0.kind) }.map(\.name).encode(to: encoder)
    }
}

extension Delivery {
    /// What kind of delivery it is.
    public var kind: DeliveryKinds { DeliveryKinds(replay?.mode) }
}
