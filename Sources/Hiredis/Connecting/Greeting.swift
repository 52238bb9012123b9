/// The first commands on a new connection, and what their replies mean.
enum Greeting {
    static func pipeline(for configuration: RedisConfiguration) -> RedisPipeline {
        var pipeline = RedisPipeline()
        if let password = configuration.password {
            if let user = configuration.user {
                pipeline.append("AUTH", user, password)
            } else {
                pipeline.append("AUTH", password)
            }
        }
        if configuration.database != 0 { pipeline.append("SELECT", configuration.database) }
        if let name = configuration.clientName { pipeline.append("CLIENT", "SETNAME", name) }
        if case .sentinel = configuration.servers { pipeline.append("ROLE") }
        pipeline.append("CLIENT", "ID")
        pipeline.append("PING")
        return pipeline
    }

    enum Verdict {
        case welcome(connectionID: Int?)
        case refused(RedisError)
    }

    /// Behind sentinels only a server that says it is the primary will do; they can be a moment behind. A refused password or database ends the attempt, and so does a server that is still loading. What an ACL may
    /// forbid (CLIENT, PING), and what a server says that cannot write just now (MISCONF and NOREPLICAS refuse even
    /// PING), does not.
    static func verdict(on replies: RedisReplies, configuration: RedisConfiguration) -> Verdict {
        var position = 0
        for reply in replies {
            defer { position += 1 }
            guard let error = reply.error else { continue }
            let decisive =
                position < (configuration.password == nil ? 0 : 1) + (configuration.database == 0 ? 0 : 1)
            switch error.serverCode {
            case .wrongPassword?, .noAuthentication?, .loading?: return .refused(error)
            case "ERR" where decisive || error.message.contains("max number of clients"):
                let reason = error.message
                return .refused(
                    error.isRetryable
                        ? error : RedisError(.authentication, reason, serverCode: error.serverCode))
            case .noPermission? where decisive: return .refused(error)
            default: continue
            }
        }
        if case .sentinel = configuration.servers,
            let role = replies[replies.count - 3].array?.first(where: { _ in true }),
            role.string != "master"
        {
            return .refused(
                RedisError(.connectionFailed, "not the primary (its role is \(role.string ?? "unknown"))"))
        }
        return .welcome(connectionID: replies[replies.count - 2].integer)
    }
}
