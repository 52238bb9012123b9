internal import Logging

/// Says when a connection breaks and when it is back: one line each, however often it is tried in between.
struct ConnectionLog {
    private let logger: Logger
    private let server: String
    private var isDown = false

    init(logger: Logger, server: String) {
        self.logger = logger
        self.server = server
    }

    mutating func failed(_ error: RedisError) {
        if error.code == .closed || isDown {
            logger.debug("no connection", metadata: ["server": "\(server)", "reason": "\(error)"])
        } else {
            isDown = true
            logger.warning(
                "connection down, trying again", metadata: ["server": "\(server)", "reason": "\(error)"])
        }
    }

    mutating func connected() {
        if isDown {
            logger.notice("connected again", metadata: ["server": "\(server)"])
        } else {
            logger.debug("connected", metadata: ["server": "\(server)"])
        }
        isDown = false
    }
}
