internal import Freshet
internal import Hiredis

extension Broker {
    /// Ends the blocking reads of a group's consumers, so that they read on from where the group stands; returns how many.
    /// An ACL may forbid it: then none is woken, and no error.
    func wakeReaders(of group: GroupName) async -> Int {
        guard let list = try? await client.send(RedisCommand("CLIENT", "LIST")).string else { return 0 }
        var woken = 0
        for line in list.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.contains(where: { $0.hasPrefix("name=\(namespace):\(group):") }),
                let id = fields.first(where: { $0.hasPrefix("id=") })
            else { continue }
            let reply = try? await client.send(RedisCommand("CLIENT", "UNBLOCK", id.dropFirst(3)))
            woken += reply?.integer ?? 0
        }
        return woken
    }
}
