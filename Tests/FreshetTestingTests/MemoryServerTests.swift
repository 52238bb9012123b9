import Freshet
import FreshetTesting
import Hiredis
import Testing

/// The in-memory broker's server beside a real one: both are sent the same commands.
@Suite struct MemoryServerTests {
    @Test(arguments: [1, 2, 3, 4, 5, 6] as [UInt64])
    func `random commands are answered as a server answers them`(seed: UInt64) async throws {
        try await withRedisServer(LocalRedisServer()) { server in
            let real = RedisClient(try RedisConfiguration(url: server.url))
            defer { real.close() }
            let memory = try InMemoryBroker()
            var random = Seeded(seed)
            var counts: [String: Int] = [:]
            for number in 0..<6000 {
                let command = Self.command(&random)
                let (expected, seen) = (
                    await Self.answer(command, real), await Self.answer(command, memory.broker.client)
                )
                counts[command[0], default: 0] += expected.hasPrefix("error") ? 0 : 1
                try #require(seen == expected, "seed \(seed), command \(number): \(command)")
            }
            // Each kind of command was understood, most of them often.
            #expect(counts.filter { $0.value > 10 }.count >= 28, "\(counts)")
        }
    }

    private static func answer(_ command: [String], _ client: RedisClient) async -> String {
        do {
            return text(try await client.send(RedisCommand(arguments: command)))
        } catch {
            // The words of an error are not promised, its code is; script errors have their place in it.
            return "error " + (error.serverCode.map { "\($0)" } ?? "\(error)")
        }
    }

    private static func text(_ reply: RedisReply) -> String {
        if let list = reply.array { return "[" + list.map(text).joined(separator: ", ") + "]" }
        return reply.isNull ? "nil" : reply.string ?? "?"
    }

    /// A command on a few keys, ids, groups and consumers, so that they meet.
    private static func command(_ random: inout Seeded) -> [String] {
        func pick(_ options: String...) -> String { options.randomElement(using: &random) ?? "" }
        func chance(_ parts: [String]) -> [String] { Bool.random(using: &random) ? parts : [] }
        func number(_ range: ClosedRange<Int>) -> String { "\(Int.random(in: range, using: &random))" }
        let stream = pick("s1", "s2"), hash = pick("h1", "h2"), set = pick("z1", "z2")
        let (group, consumer) = (pick("g1", "g2"), pick("c1", "c2", "c3"))
        let id = "\(number(1...40))-\(number(0...2))"
        func bound() -> String { pick("-", "+", id, "(\(id)", number(1...40)) }
        switch Int.random(in: 0..<40, using: &random) {
        case 0...5:
            let trim =
                Int.random(in: 0..<4, using: &random) == 0 ? [pick("MAXLEN", "MINID"), number(1...30)] : []
            return ["XADD", stream] + trim + [
                pick(id, "\(number(1...60))-*", "\(number(1...60))"), "f", number(0...9),
            ]
                + chance(["g", "v"])
        case 6: return ["XADD", pick("none", stream), "NOMKSTREAM", "1-1", "f", "v"]
        case 7: return ["XLEN", stream]
        case 8: return ["XRANGE", stream, bound(), bound()] + chance(["COUNT", number(1...5)])
        case 9: return ["XREVRANGE", stream, bound(), bound()] + chance(["COUNT", number(1...5)])
        case 10: return ["XDEL", stream, id, "\(number(1...40))-0"]
        case 11: return ["XTRIM", stream, pick("MAXLEN", "MINID"), number(1...20)]
        case 12: return ["XGROUP", "CREATE", stream, group, pick("0", "$", id)] + chance(["MKSTREAM"])
        case 13:
            return Int.random(in: 0..<6, using: &random) == 0
                ? ["XGROUP", "DESTROY", stream, group] : ["XGROUP", "SETID", stream, group, id]
        case 14: return ["XGROUP", "DELCONSUMER", stream, group, "c3"]
        case 15, 16, 17:
            return ["XREADGROUP", "GROUP", group, consumer, "COUNT", number(1...6), "STREAMS", stream, ">"]
        case 18:
            return [
                "XREADGROUP", "GROUP", group, consumer, "COUNT", "3", "STREAMS", "s1", "s2", pick("0", ">"),
                pick(id, ">"),
            ]
        case 19: return ["XREAD", "COUNT", number(1...3), "STREAMS", "s1", "s2", id, "0"]
        case 20, 21: return ["XACK", stream, group, id, "\(number(1...40))-0", "\(number(1...40))-1"]
        case 22: return ["XPENDING", stream, group]
        case 23:
            return ["XCLAIM", stream, group, consumer, "0", id, "\(number(1...40))-0"] + chance(["JUSTID"])
        case 24:
            return ["XCLAIM", stream, group, consumer, "0", id, "RETRYCOUNT", number(1...9)]
                + chance(["FORCE"])
                + chance(["JUSTID"])
        case 25, 26:
            return ["XAUTOCLAIM", stream, group, consumer, "0", pick("0", id, "(\(id)")]
                + chance(["COUNT", number(1...4)])
                + chance(["JUSTID"])
        case 27:
            return Int.random(in: 0..<12, using: &random) == 0
                ? ["DEL", stream, hash] : ["EXISTS", stream, hash, set]
        case 28: return ["HSET", hash, pick("a", "b", "c"), number(0...9)] + chance(["d", "1"])
        case 29: return ["HSETNX", hash, pick("a", "b", "c"), number(0...9)]
        case 30: return [pick("HGET", "HDEL", "HMGET"), hash, pick("a", "b", "c")]
        case 31: return ["ZADD", set] + chance(["NX"]) + [number(-3...9), pick("a", "b", "c", "d", "e")]
        case 32:
            return [pick("ZRANGE", "ZREVRANGE"), set, number(-3...2), number(-2...4)] + chance(["WITHSCORES"])
        case 33:
            return [
                "ZRANGEBYSCORE", set, pick("-inf", number(0...4)), pick("+inf", number(2...9)), "LIMIT",
                number(0...1), number(-1...3),
            ]
        case 34: return [pick("ZREM", "ZSCORE"), set, pick("a", "b", "c", "d", "e")]
        case 35: return [pick("TYPE", "PTTL"), pick(stream, hash, set, "none")]
        case 36: return ["SET", "t", number(0...9)] + chance(["NX"])
        case 37:
            return pick("GET", "XLEN", "HGET", "ZCARD") == "GET"
                ? ["GET", pick("t", hash)] : ["XLEN", pick("t", hash)]
        case 38:
            return [
                "EVAL",
                """
                local pending = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 3)
                local packed = cmsgpack.pack({ARGV[2], 'a longer text than thirty-two bytes are', 7})
                local fields = cmsgpack.unpack(packed)
                local wrong = redis.pcall('XLEN', KEYS[2])
                return {#pending, #fields, fields[1], fields[3] + 1.9, {ok = 'fine'}, wrong, false, 'end'}
                """, "2", stream, hash, group, number(0...9),
            ]
        default:
            return [
                "EVAL",
                "redis.call('XADD', KEYS[1], ARGV[1], 'f', ARGV[1]) return redis.call('XACK', KEYS[1], 'g1', ARGV[1])",
                "1", stream, id,
            ]
        }
    }
}
