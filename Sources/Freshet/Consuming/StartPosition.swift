public import Hiredis

/// Where a group begins when it is created. A group that exists goes on from where it is.
public enum StartPosition: Sendable, Hashable {
    /// With the oldest event that is still there.
    case earliest
    /// With the first event that is published after the group was created.
    case latest
    /// With the first event that was added at this moment or later, by the server's clock.
    case time(Timestamp)
    /// With this entry, or the next one when it is gone.
    case id(StreamID)

    /// The last entry that the group does not want.
    func lastSkipped(newest: StreamID) -> StreamID {
        switch self {
        case .earliest: .zero
        case .latest: newest
        case .time(let time):
            StreamID(milliseconds: UInt64(clamping: time.milliseconds), sequence: 0).predecessor ?? .zero
        case .id(let id): id.predecessor ?? .zero
        }
    }
}
