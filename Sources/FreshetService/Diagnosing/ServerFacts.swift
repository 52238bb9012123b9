internal import Freshet

/// What follows from what a server says of itself.
package enum ServerFacts {
    /// The fields of INFO.
    package static func parsed(_ text: String) -> [String: String] {
        var fields: [String: String] = [:]
        for line in text.split(whereSeparator: \.isNewline) where !line.hasPrefix("#") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            fields[String(line[..<colon])] = String(line[line.index(after: colon)...])
        }
        return fields
    }

    /// hiredis' releases are told apart by the name of the file; one of another major version links without a word and misbehaves.
    package static func library(headers: String, file: String?) -> [Finding] {
        guard let file, let start = file.firstRange(of: ".so.")?.upperBound else { return [] }
        let (loaded, compiled) = (file[start...].prefix { $0 != "." }, headers.prefix { $0 != "." })
        guard loaded != compiled else { return [] }
        return [
            Finding(
                .critical, "hiredis", "this program",
                "compiled for hiredis \(headers), and \(file) is loaded: replies may be misread",
                remedy:
                    "build it on a machine with the same libhiredis-dev, or install that version beside it")
        ]
    }

    package static func version(_ info: [String: String], _ subject: String) -> [Finding] {
        // Valkey says a Redis version as well, for clients that look at that one.
        let text = info["redis_version"] ?? ""
        let parts = text.split(separator: ".").compactMap { Int($0) }
        guard parts.count >= 2 else { return [] }
        if (parts[0], parts[1]) < (6, 2) {
            return [
                Finding(
                    .critical, "version", subject,
                    "Redis \(text) has no XAUTOCLAIM: nobody takes over what dead consumers held",
                    remedy: "upgrade to Redis 7.0 or newer, or Valkey")
            ]
        }
        if parts[0] < 7 {
            return [
                Finding(
                    .warning, "version", subject,
                    "Redis \(text) counts no entries of streams: rates, lag and lost entries cannot be seen",
                    remedy: "upgrade to Redis 7.0 or newer, or Valkey")
            ]
        }
        return []
    }

    /// - Parameter save: the value of CONFIG GET save; nil when it is not known.
    package static func persistence(_ info: [String: String], save: String?, _ subject: String) -> [Finding] {
        var findings: [Finding] = []
        func add(_ severity: Finding.Severity, _ problem: String, _ remedy: String) {
            findings.append(Finding(severity, "persistence", subject, problem, remedy: remedy))
        }
        if info["aof_enabled"] == "0" {
            let remedy =
                "redis-cli CONFIG SET appendonly yes, and appendonly yes in redis.conf (CONFIG REWRITE)"
            switch save {
            case "":
                add(
                    .critical,
                    "nothing is written to disk (no AOF, no snapshots): a restart loses every event", remedy)
            default:
                add(.warning, "there is no AOF: a restart loses what came after the last snapshot", remedy)
            }
        }
        if info["rdb_last_bgsave_status"] == "err" {
            add(
                .critical,
                "the last snapshot failed: with stop-writes-on-bgsave-error all publishing is refused",
                "look for room and rights in the server's folder (redis-cli CONFIG GET dir), then redis-cli BGSAVE"
            )
        }
        if info["aof_last_write_status"] == "err" {
            add(
                .critical, "the last write to the AOF failed: the server takes no writes",
                "make room on its disk; it goes on by itself")
        }
        if info["aof_last_bgrewrite_status"] == "err" {
            add(
                .warning, "the last rewrite of the AOF failed: it grows without end",
                "make room on its disk, then redis-cli BGREWRITEAOF")
        }
        return findings
    }

    package static func memory(_ info: [String: String], _ subject: String) -> [Finding] {
        var findings: [Finding] = []
        func add(_ severity: Finding.Severity, _ check: String, _ problem: String, _ remedy: String) {
            findings.append(Finding(severity, check, subject, problem, remedy: remedy))
        }
        let most = info["maxmemory"].flatMap { Int($0) } ?? 0
        let policy = info["maxmemory_policy"] ?? "noeviction"
        if policy != "noeviction" {
            let what =
                policy.hasPrefix("allkeys")
                ? "whole streams are deleted, with what nobody has handled"
                : "leases and the state of replays are deleted"
            add(
                most > 0 && policy.hasPrefix("allkeys") ? .critical : .warning, "eviction-policy",
                "maxmemory-policy is \(policy): when the memory is full \(what)"
                    + (most == 0 ? " (as soon as maxmemory is set)" : ""),
                "redis-cli CONFIG SET maxmemory-policy noeviction, and the same in redis.conf")
        }
        if let evicted = info["evicted_keys"].flatMap({ Int($0) }), evicted > 0 {
            add(
                .critical, "evicted-keys",
                "\(Spelled.count(evicted)) keys were evicted since the server started",
                "set the policy to noeviction, then look what is missing: freshet topics list, freshet doctor"
            )
        }
        if most > 0, let used = info["used_memory"].flatMap({ Int($0) }), used * 4 >= most * 3 {
            let share = Int(Double(used) / Double(most) * 100)
            add(
                used * 10 >= most * 9 ? .critical : .warning, "memory",
                "\(share) % of maxmemory is used: at 100 % publishing is refused",
                "raise maxmemory, or keep less: retention in freshet topics apply, then freshet topics trim TOPIC"
            )
        } else if most == 0 {
            add(
                .info, "memory",
                "there is no maxmemory: the system ends the server when the machine's is used up",
                "redis-cli CONFIG SET maxmemory to about 60 % of the machine's, with maxmemory-policy noeviction"
            )
        }
        if let clients = info["connected_clients"].flatMap({ Int($0) }),
            let limit = info["maxclients"].flatMap({ Int($0) }), limit > 0, clients * 10 >= limit * 9
        {
            add(
                .warning, "clients", "\(clients) of \(limit) connections are taken: more are refused",
                "redis-cli CONFIG SET maxclients, or find who holds them: redis-cli CLIENT LIST")
        }
        return findings
    }

    /// - Parameter wanted: the most replicas that a topic's publishing waits for.
    package static func replication(_ info: [String: String], replicasWanted wanted: Int, _ subject: String)
        -> [Finding]
    {
        var findings: [Finding] = []
        func add(_ severity: Finding.Severity, _ problem: String, _ remedy: String) {
            findings.append(Finding(severity, "replication", subject, problem, remedy: remedy))
        }
        if info["role"] == "slave" {
            add(
                .critical, "this is a replica: nothing can be published here",
                "name the primary in the URL, or sentinels: redis+sentinel://HOST,HOST/NAME")
            return findings
        }
        let replicas = (0..<(info["connected_slaves"].flatMap { Int($0) } ?? 0)).compactMap { index in
            info["slave\(index)"].map { text in
                Dictionary(
                    text.split(separator: ",").compactMap { pair -> (String, String)? in
                        let parts = pair.split(separator: "=", maxSplits: 1)
                        return parts.count == 2 ? (String(parts[0]), String(parts[1])) : nil
                    }, uniquingKeysWith: { first, _ in first })
            }
        }
        let online = replicas.count { $0["state"] == "online" }
        if online < wanted {
            add(
                .critical,
                "a topic's publishing waits for \(Spelled.number(wanted, "replica")), and \(online) \(online == 1 ? "is" : "are") there",
                "bring the replicas back (redis-cli INFO replication), or apply another durability: freshet topics apply"
            )
        } else if replicas.isEmpty {
            add(
                .info, "there is no replica: while this server is down nothing can be published or handled",
                "add a replica and sentinels, or live with it: services wait and go on by themselves")
        }
        if let good = info["min_slaves_good_slaves"].flatMap({ Int($0) }), good == 0 {
            add(
                .critical, "min-replicas-to-write asks for replicas, and none is good: writes are refused",
                "bring a replica back, or redis-cli CONFIG SET min-replicas-to-write 0")
        }
        for replica in replicas {
            let name = "\(replica["ip"] ?? "?"):\(replica["port"] ?? "?")"
            if let lag = replica["lag"].flatMap({ Int($0) }), lag > 10 {
                add(
                    .warning,
                    "the replica \(name) was last heard of \(lag) s ago: a failover to it loses that much",
                    "look at it: redis-cli -h \(replica["ip"] ?? "?") -p \(replica["port"] ?? "?") INFO replication"
                )
            } else if replica["state"] != "online" {
                add(
                    .warning, "the replica \(name) is \(replica["state"] ?? "away")",
                    "wait until it has its copy")
            }
        }
        return findings
    }

    /// - Parameter cluster: the fields of CLUSTER INFO.
    package static func cluster(_ cluster: [String: String], _ subject: String) -> [Finding] {
        var findings: [Finding] = []
        let remedy = "redis-cli --cluster check HOST:PORT, then --cluster fix"
        if cluster["cluster_state"] != "ok" {
            findings.append(
                Finding(
                    .critical, "cluster", subject,
                    "the cluster's state is \(cluster["cluster_state"] ?? "unknown"): some keys cannot be reached",
                    remedy: remedy))
        }
        let assigned = cluster["cluster_slots_assigned"].flatMap { Int($0) } ?? 16_384
        let failing =
            (cluster["cluster_slots_fail"].flatMap { Int($0) } ?? 0)
            + (cluster["cluster_slots_pfail"].flatMap { Int($0) } ?? 0)
        if assigned < 16_384 || failing > 0 {
            findings.append(
                Finding(
                    .critical, "cluster", subject,
                    "\(16_384 - assigned) slots have no node, and of \(failing) the node fails",
                    remedy: remedy))
        }
        return findings
    }

    /// - Parameters:
    ///   - server: what the server's clock said, in seconds since 1970.
    ///   - before: what this machine's said before the question.
    ///   - after: what it said after the answer.
    package static func clock(server: Double, before: Double, after: Double) -> [Finding] {
        // Between the two it may have been any time.
        let skew = server < before ? server - before : server > after ? server - after : 0
        guard abs(skew) >= 1 else { return [] }
        return [
            Finding(
                abs(skew) >= 30 ? .critical : .warning, "clock", "server",
                "the server's clock is \(Spelled.time(abs(skew))) \(skew > 0 ? "ahead of" : "behind") this machine's: ages, due times and "
                    + "retention go by the server's, events' times and outboxes by the services'",
                remedy: "synchronise both: timedatectl set-ntp true, then chronyc tracking")
        ]
    }
}
