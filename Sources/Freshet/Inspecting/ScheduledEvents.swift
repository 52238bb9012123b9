internal import Hiredis

extension Broker {
    /// The events that wait for their time to be published, partition after partition. What is published meanwhile may be left out, or
    /// come twice.
    package func forEachScheduledEvent(of topic: Topic, _ body: (Event) -> Void) async throws(FreshetError) {
        for partition in 0..<topic.partitions {
            var rank = 0
            while true {
                let reply = try await run(
                    ScheduledScripts.page, keys: [keys(topic.name, partition).scheduled], rank, 200)
                guard let page = reply.array, page.count > 0 else { break }
                for fields in page {
                    guard let fields = fields.array,
                        let event = try? DecodedFields(fields, entry: .zero, trusted: true).event
                    else { continue }
                    body(event)
                }
                rank += page.count
            }
        }
    }
}

private enum ScheduledScripts {
    /// KEYS scheduled; ARGV rank count. Returns the fields of each.
    static let page = RedisScript(
        """
        local page = {}
        for _, member in ipairs(redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1)) do
          page[#page + 1] = cmsgpack.unpack(string.sub(member, string.find(member, ' ', 1, true) + 1))
        end
        return page
        """)
}
