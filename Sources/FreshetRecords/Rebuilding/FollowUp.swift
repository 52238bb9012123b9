package import Freshet

/// An event that a handler would publish: during a rebuild it is looked for in the history instead.
package struct FollowUp: Sendable {
    /// Where it would go.
    package let topic: Topic
    /// What happened.
    package let type: EventType
    /// What must stay in order.
    package let key: String?
    /// The event that it follows.
    package let causationID: String
    /// When the server was given that one; nil when nobody says.
    package let causedAt: Timestamp?
    /// When it would be delivered; nil is at once.
    package let deliverAt: Timestamp?
    /// The event itself, when it may have to be published.
    package let event: Event?

    package init(
        topic: Topic, type: EventType, key: String?, causationID: String, causedAt: Timestamp? = nil,
        deliverAt: Timestamp? = nil, event: Event? = nil
    ) {
        self.topic = topic
        self.type = type
        self.key = key
        self.causationID = causationID
        self.causedAt = causedAt
        self.deliverAt = deliverAt
        self.event = event
    }
}
