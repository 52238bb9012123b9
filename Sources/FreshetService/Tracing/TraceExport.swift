internal import FoundationEssentials
package import Logging
internal import ServiceLifecycle
internal import Synchronization

/// Takes ended spans from their queue to whoever collects them. No handler ever waits for it: while a collector is away or slow the
/// queue fills, and what finds it full is dropped and counted.
///
/// Shut down last of a worker's services, it sends what is left, for `flushLimit` at most.
package final class TraceExport: Service {
    /// How long a shutdown may take.
    package static let flushLimit = Duration.seconds(2)

    private let settings: TraceSettings
    private let queue: SpanQueue
    private let logger: Logger
    private let client: OTLPClient?
    private let firstPause: Duration
    /// When a shutdown's time is over; nil while there is none.
    private let deadline = Mutex<ContinuousClock.Instant?>(nil)
    private let isFailing = Mutex(false)

    /// - Parameter firstPause: how long is waited at most before a request is sent again; each further time twice as long.
    package init(
        _ settings: TraceSettings, of queue: SpanQueue, logger: Logger, firstPause: Duration = .seconds(1)
    ) {
        self.settings = settings
        self.queue = queue
        self.logger = logger
        self.firstPause = firstPause
        client = if case .otlp(let endpoint) = settings.exporter { OTLPClient(endpoint) } else { nil }
    }

    /// Exports until graceful shutdown or cancellation.
    package func run() async throws {
        await withGracefulShutdownHandler {
            await withTaskCancellationHandler {
                while !queue.isClosed {
                    await queue.wait(for: settings.delay)
                    await export()
                }
                await flush()
            } onCancel: {
                self.stop(within: .zero)
            }
        } onGracefulShutdown: {
            self.stop(within: Self.flushLimit)
        }
    }

    private func stop(within limit: Duration) {
        deadline.withLock { deadline in
            let end = ContinuousClock.now + limit
            deadline = deadline.map { min($0, end) } ?? end
        }
        queue.close()
        if limit == .zero {
            client?.abort()
        } else if let client {
            // What is under way may have much longer.
            Task {
                try? await Task.sleep(for: limit)
                client.abort()
            }
        }
    }

    /// How much of this duration there is before the shutdown's end.
    private func left(of limit: Duration) -> Duration {
        deadline.withLock { deadline in
            deadline.map { max(.zero, min(limit, ContinuousClock.now.duration(to: $0))) } ?? limit
        }
    }

    private func flush() async {
        while left(of: .seconds(1)) > .zero {
            let spans = queue.take()
            if spans.isEmpty { break }
            await export(spans)
        }
        var lost = 0
        while true {
            let count = queue.take().count
            if count == 0 { break }
            lost += count
        }
        queue.drop(lost)
        if queue.droppedCount > 0 {
            logger.warning("spans were dropped", metadata: ["count": "\(queue.droppedCount)"])
        }
    }

    /// What waits, batch by batch; fewer than a batch only once.
    private func export() async {
        while true {
            let spans = queue.take()
            if spans.isEmpty { return }
            await export(spans)
            if spans.count < queue.batch || queue.isClosed { return }
        }
    }

    private func export(_ spans: [SpanRecord]) async {
        let body = OTLPEncoding.request(spans, resource: settings.resource)
        guard let client else {
            StandardOutput.write(String(decoding: body, as: UTF8.self))
            return queue.exported(spans.count)
        }
        let end = ContinuousClock.now + left(of: settings.patience)
        var pause = firstPause
        while true {
            let answer = await client.send(body, within: ContinuousClock.now.duration(to: end))
            switch answer {
            case .taken(let body): return taken(spans.count, body)
            case .refused(let reason): return failed(spans.count, reason)
            case .later(let asked, let reason):
                let wait = asked ?? pause * Double.random(in: 0.5...1)
                pause = min(pause * 2, .seconds(10))
                guard ContinuousClock.now + wait < end, !Task.isCancelled, !queue.isClosed else {
                    return failed(spans.count, reason)
                }
                await rest(for: wait)
            }
        }
    }

    /// A pause that a shutdown ends.
    private func rest(for limit: Duration) async {
        let end = ContinuousClock.now + limit
        while ContinuousClock.now < end, !queue.isClosed, !Task.isCancelled {
            try? await Task.sleep(for: min(.milliseconds(50), ContinuousClock.now.duration(to: end)))
        }
    }

    private struct Response: Decodable {
        struct Partial: Decodable {
            let rejectedSpans: Count?
            let errorMessage: String?
        }
        /// A number of 64 bits is a text in Protocol Buffers' JSON; some write it as a number.
        struct Count: Decodable {
            let value: Int
            init(from decoder: any Decoder) throws {
                let container = try decoder.singleValueContainer()
                value = try (try? container.decode(Int.self)) ?? Int(container.decode(String.self)) ?? 0
            }
        }
        let partialSuccess: Partial?
    }

    private func taken(_ count: Int, _ body: [UInt8]) {
        let partial = (try? JSONDecoder().decode(Response.self, from: Data(body)))?.partialSuccess
        let rejected = min(count, max(0, partial?.rejectedSpans?.value ?? 0))
        queue.exported(count - rejected)
        queue.drop(rejected)
        let wasFailing = isFailing.withLock { isFailing in
            defer { isFailing = false }
            return isFailing
        }
        if wasFailing {
            logger.notice("traces are exported again", metadata: ["dropped": "\(queue.droppedCount)"])
        }
        if rejected > 0 {
            logger.warning(
                "the collector rejected spans",
                metadata: ["count": "\(rejected)", "reason": "\(partial?.errorMessage ?? "")"])
        }
    }

    /// Said once, until it works again.
    private func failed(_ count: Int, _ reason: String) {
        queue.drop(count)
        let isNews = isFailing.withLock { isFailing in
            defer { isFailing = true }
            return !isFailing
        }
        guard isNews, case .otlp(let endpoint) = settings.exporter else { return }
        logger.warning(
            "cannot export traces, dropping them",
            metadata: ["to": "\(endpoint.displayName)", "reason": "\(reason)"])
    }
}
