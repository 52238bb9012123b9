/// How a publisher publishes.
public struct PublisherOptions: Sendable {
    /// What publishing waits for; nil is what the topic declares, in memory unless it declares something.
    public var durability: Durability?
    /// How long events are sent again when nobody knows whether they arrived (a connection broke, a server did not answer),
    /// before that is the caller's. 10 s by default; zero leaves it to the caller at once.
    public var patience = Duration.seconds(10)

    /// The defaults.
    public init() {}
}
