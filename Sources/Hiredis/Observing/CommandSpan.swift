internal import Tracing

/// The span of one request, by OpenTelemetry's conventions for databases (v1.33, "Redis client spans"): kind client, named
/// after the command, with `db.system.name`, `db.operation.name`, `db.namespace`, `server.address`, `server.port`, for
/// pipelines `db.operation.batch.size`, and for failures `error.type` and `db.response.status_code`. Never with a key or a
/// value.
struct CommandSpan {
    private let span: any Span

    init(_ pipeline: RedisPipeline, to configuration: RedisConfiguration, _ tracer: any Tracer) {
        let operation = Self.operation(of: pipeline)
        span = tracer.startSpan(operation, ofKind: .client)
        span.updateAttributes { attributes in
            attributes["db.system.name"] = "redis"
            attributes["db.operation.name"] = operation
            attributes["db.namespace"] = "\(configuration.database)"
            if pipeline.count > 1 { attributes["db.operation.batch.size"] = pipeline.count }
            switch configuration.servers {
            case .single(.tcp(let host, let port)):
                attributes["server.address"] = host
                attributes["server.port"] = port
            case .single(.unix(let path)): attributes["server.address"] = path
            // Which node it was is known only afterwards, and may be several.
            case .sentinel, .cluster: break
            }
        }
    }

    /// Ends the span with the first error among the replies.
    func end(_ replies: RedisReplies?) {
        if let error = replies?.lazy.compactMap(\.error).first { fail(error) }
        span.end()
    }

    func end(_ error: RedisError) {
        fail(error)
        span.end()
    }

    private func fail(_ error: RedisError) {
        // Not `recordError`: the server's text may hold a key.
        span.setStatus(SpanStatus(code: .error))
        span.attributes["error.type"] = error.serverCode?.rawValue ?? error.code.description
        if let code = error.serverCode { span.attributes["db.response.status_code"] = code.rawValue }
    }

    /// `XADD`; `PIPELINE XADD` when all commands are the same, `PIPELINE` when not.
    private static func operation(of pipeline: RedisPipeline) -> String {
        var commands = CommandScanner(pipeline)
        guard let first = commands.next()?.name else { return "CONNECT" }
        guard pipeline.count > 1 else { return first }
        while let next = commands.next() {
            if next.name != first { return "PIPELINE" }
        }
        return "PIPELINE \(first)"
    }
}
