/// The first word of a server's error: `WRONGTYPE`, `NOGROUP`, `MOVED`.
///
/// A literal works as well as a name: `error.serverCode == "NOGROUP"`.
public struct RedisServerCode: RawRepresentable, Hashable, Sendable, ExpressibleByStringLiteral,
    CustomStringConvertible
{
    /// The word as the server sent it.
    public let rawValue: String

    /// This word.
    public init(rawValue: String) { self.rawValue = rawValue }
    /// This word.
    public init(stringLiteral value: String) { rawValue = value }
    /// The word.
    public var description: String { rawValue }

    /// The server loads its data.
    public static let loading: Self = "LOADING"
    /// Keys of one command are on both sides of a slot that moves.
    public static let tryAgain: Self = "TRYAGAIN"
    /// Some slots of the cluster have no primary.
    public static let clusterDown: Self = "CLUSTERDOWN"
    /// A replica without its primary.
    public static let masterDown: Self = "MASTERDOWN"
    /// A script runs for too long.
    public static let busy: Self = "BUSY"
    /// Fewer replicas than `min-replicas-to-write`.
    public static let noReplicas: Self = "NOREPLICAS"
    /// The server cannot save, and therefore does not write.
    public static let misconfigured: Self = "MISCONF"
    /// The memory is used up (`maxmemory`).
    public static let outOfMemory: Self = "OOM"
    /// A write was sent to a replica.
    public static let readOnly: Self = "READONLY"
    /// The slot belongs to another node.
    public static let moved: Self = "MOVED"
    /// The slot moves, and this key has moved already.
    public static let ask: Self = "ASK"
    /// A blocked command was ended: the stream went, the server became a replica, or somebody asked for it.
    public static let unblocked: Self = "UNBLOCKED"
    /// The server does not know the script with this digest.
    public static let noScript: Self = "NOSCRIPT"
    /// The consumer group is not there.
    public static let noGroup: Self = "NOGROUP"
    /// The consumer group is there already.
    public static let busyGroup: Self = "BUSYGROUP"
    /// The key holds another type.
    public static let wrongType: Self = "WRONGTYPE"
    /// The keys of one command are in different slots.
    public static let crossSlot: Self = "CROSSSLOT"
    /// A command of the transaction was refused.
    public static let transactionAborted: Self = "EXECABORT"
    /// The user may not do this.
    public static let noPermission: Self = "NOPERM"
    /// The server wants a password first.
    public static let noAuthentication: Self = "NOAUTH"
    /// The user or the password is wrong.
    public static let wrongPassword: Self = "WRONGPASS"
}

extension RedisError {
    /// What helps against an error. One command's outcome is in exactly one of these classes.
    public enum Remedy: Sendable, Hashable {
        /// Nothing ran; the same command may succeed after a pause: start-up, failover, a full memory or disk, a long
        /// script, too many clients, no connection.
        case retryAfterPause
        /// Nothing ran; another server is in charge now. A client for sentinels or a cluster has begun to look for it.
        case findServer
        /// Nothing ran; the script must be sent whole.
        case loadScript
        /// The command was sent and no reply came: only a command that is safe to repeat may be sent again.
        case mayHaveRun
        /// Trying again changes nothing: a wrong type, a missing permission, a wrong command.
        case none
    }

    /// What helps against this error. Each of the servers' texts was seen on Redis 7.0 to 8.6
    /// and Valkey 8 and 9; that nothing ran is their promise for all of them.
    public var remedy: Remedy {
        if mayHaveRun { return .mayHaveRun }
        switch code {
        case .connectionFailed, .connectionLost, .timedOut: return .retryAfterPause
        case .server: break
        default: return .none
        }
        switch serverCode {
        case .loading?, .tryAgain?, .clusterDown?, .masterDown?, .busy?, .noReplicas?, .misconfigured?,
            .outOfMemory?:
            return .retryAfterPause
        case .readOnly?, .moved?, .ask?, .unblocked?: return .findServer
        case .noScript?: return .loadScript
        default: return message.contains("max number of clients") ? .retryAfterPause : .none
        }
    }
}
