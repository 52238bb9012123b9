/// In which order the consumers of a group handle a topic's events. All consumers of a group have the same one.
public enum Ordering: String, Sendable, Codable, Hashable {
    /// Every consumer takes what comes. Events start roughly in the order of the log; a retried one comes later.
    case any
    /// The events of one partition key are handled one at a time, in the order of the log, by one consumer of the group;
    /// different keys side by side. A key whose event waits for a retry holds back only itself. Each partition has one
    /// consumer at a time: more consumers than partitions stand by.
    case perKey
}
