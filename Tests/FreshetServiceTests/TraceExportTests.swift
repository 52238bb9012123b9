import Freshet
import FreshetTesting
import InMemoryLogging
import Logging
import ServiceLifecycle
import Synchronization
import Testing
import Tracing

@testable import FreshetService

/// From a span to a collector, over real HTTP, and what a collector that misbehaves does to it: nothing that a handler would notice.
@Suite struct TraceExportTests {
    struct Refused: Error, CustomStringConvertible { let description = "no \"card\"\n" }

    /// A tracer whose spans go to the collector.
    struct Rig {
        let tracer: ServiceTracer
        let queue: SpanQueue
        let export: TraceExport
        let log: InMemoryLogHandler

        init(_ endpoint: String, _ more: [String: String] = [:]) throws {
            var environment = [
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "20",
                "OTEL_BSP_EXPORT_TIMEOUT": "5000",
            ]
            environment.merge(more) { $1 }
            let settings = try #require(try settings(environment))
            queue = SpanQueue(capacity: settings.capacity, batch: settings.batch)
            tracer = ServiceTracer(settings.sampler, to: queue)
            let log = InMemoryLogHandler()
            self.log = log
            export = TraceExport(
                settings, of: queue, logger: Logger(label: "test", factory: { _ in log }),
                firstPause: .milliseconds(20))
        }

        var warnings: [String] { log.entries.filter { $0.level == .warning }.map { "\($0.message)" } }
    }

    @Test func `spans arrive as OTLP has them`() async throws {
        let collector = try TraceCollector()
        defer { collector.stop() }
        let more = [
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-key=a%20b",
        ]
        let rig = try Rig(collector.endpoint, more)
        try await running(rig.export) {
            let linked = rig.tracer.startSpan("linked", ofKind: .producer)
            rig.tracer.withSpan("parent", ofKind: .consumer) { parent in
                parent.attributes["text"] = "\"quoted\" \\ \u{1} Žofie"
                parent.attributes["number"] = 42
                parent.attributes["list"] = SpanAttribute.stringArray(["a", "b"])
                parent.attributes["part"] = 0.5
                parent.attributes["flag"] = true
                parent.addLink(SpanLink(context: linked.context, attributes: ["why": "late"]))
                #expect(throws: Refused.self) {
                    try rig.tracer.withSpan("child") { _ in throw Refused() }
                }
            }
            linked.end()
            try await eventually("all arrive") { try collector.spans().count == 3 }
        }
        let spans = try collector.spans()
        let (_, parent) = try #require(spans.first { $0.span.name == "parent" })
        let (service, child) = try #require(spans.first { $0.span.name == "child" })
        let (_, linked) = try #require(spans.first { $0.span.name == "linked" })
        #expect(service == "payment")
        #expect(parent.traceId.count == 32 && parent.spanId.count == 16 && parent.parentSpanId == nil)
        #expect(parent.traceId.allSatisfy { "0123456789abcdef".contains($0) })
        #expect(child.parentSpanId == parent.spanId && child.traceId == parent.traceId)
        #expect((parent.kind, child.kind, linked.kind) == (5, 1, 4))
        #expect(parent["text"] == "\"quoted\" \\ \u{1} Žofie" && parent["number"] == "42")
        #expect(parent.links?.map(\.spanId) == [linked.spanId] && linked.traceId != parent.traceId)
        #expect(child.status?.code == 2 && parent.status == nil)
        let (start, end) = (UInt64(parent.startTimeUnixNano) ?? 0, UInt64(parent.endTimeUnixNano) ?? 0)
        #expect(start > 1_700_000_000_000_000_000 && end >= start)
        let request = try #require(collector.requests.all.first)
        #expect(request.path == "/v1/traces" && request.headers["content-type"] == "application/json")
        #expect(request.headers["x-key"] == "a b")
        let body = String(decoding: request.body, as: UTF8.self)
        for part in [
            #"{"key":"deployment.environment","value":{"stringValue":"test"}}"#,
            #"{"key":"list","value":{"arrayValue":{"values":[{"stringValue":"a"},{"stringValue":"b"}]}}}"#,
            #"{"key":"part","value":{"doubleValue":0.5}}"#, #"{"key":"flag","value":{"boolValue":true}}"#,
            #""name":"exception""#,
            #"{"key":"exception.message","value":{"stringValue":"no \"card\"\u000a"}}"#,
        ] { #expect(body.contains(part), "\(part) in \(body)") }
        #expect(rig.queue.droppedCount == 0 && rig.warnings.isEmpty)
    }

    @Test func `a collector that is busy gets the same spans again, when it says`() async throws {
        let collector = try TraceCollector { number in
            switch number {
            case 0: .status(503)
            case 1: .status(429, retryAfter: 1)
            case 2: .close
            default: .take
            }
        }
        defer { collector.stop() }
        let rig = try Rig(collector.endpoint)
        let began = ContinuousClock.now
        try await running(rig.export) {
            rig.tracer.startSpan("a").end()
            try await eventually("it arrives") { try collector.spans().count == 1 }
        }
        #expect(ContinuousClock.now - began >= .seconds(1), "it asked for a second")
        #expect(collector.requests.count == 4)
        #expect(Set(collector.requests.all.map(\.body)).count == 1)
        #expect(rig.queue.droppedCount == 0 && rig.warnings.isEmpty)
    }

    @Test func `what is refused is dropped, counted, and said once`() async throws {
        let collector = try TraceCollector { $0 < 3 ? .status(400) : .reject(1) }
        defer { collector.stop() }
        let rig = try Rig(collector.endpoint)
        try await running(rig.export) {
            for number in 1...3 {
                rig.tracer.startSpan("a").end()
                try await eventually("refused") { rig.queue.droppedCount == number }
            }
            rig.tracer.startSpan("b").end()
            rig.tracer.startSpan("c").end()
            try await eventually("one rejected") { rig.queue.droppedCount == 4 }
        }
        #expect(collector.requests.count >= 4)
        #expect(rig.warnings.filter { $0.contains("cannot export") }.count == 1)
        #expect(rig.warnings.contains("the collector rejected spans"))
    }

    @Test
    func `a collector that hangs delays no span, holds no more than the queue, and no shutdown for long`()
        async throws
    {
        let collector = try TraceCollector { _ in .hang }
        defer { collector.stop() }
        let limits = [
            "OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10",
            "OTEL_BSP_EXPORT_TIMEOUT": "60000", "OTEL_EXPORTER_OTLP_TIMEOUT": "60000",
        ]
        let rig = try Rig(collector.endpoint, limits)
        let stopped = Mutex(ContinuousClock.now)
        try await running(rig.export) {
            rig.tracer.startSpan("first").end()
            try await eventually("it hangs") { collector.requests.count == 1 }
            let began = ContinuousClock.now
            for _ in 0..<1000 { rig.tracer.startSpan("more").end() }
            #expect(ContinuousClock.now - began < .seconds(1))
            #expect(rig.queue.droppedCount == 900)
            stopped.withLock { $0 = .now }
        }
        let took = stopped.withLock { ContinuousClock.now - $0 }
        #expect(took < TraceExport.flushLimit + .seconds(2), "\(took)")
        #expect(rig.queue.droppedCount == 1001)
        #expect(rig.warnings.contains("spans were dropped"))
    }

    @Test func `a collector that is not there is tried again, and gets what it can when it comes`()
        async throws
    {
        let port = freePort()
        let rig = try Rig("http://127.0.0.1:\(port)", ["OTEL_BSP_EXPORT_TIMEOUT": "300"])
        try await running(rig.export) {
            rig.tracer.startSpan("lost").end()
            try await eventually("dropped") { rig.queue.droppedCount == 1 }
            let collector = try TraceCollector(port: port)
            rig.tracer.startSpan("found").end()
            try await eventually("it arrives") { try collector.spans().map(\.span.name) == ["found"] }
            collector.stop()
        }
        #expect(rig.warnings == ["cannot export traces, dropping them", "spans were dropped"])
    }

    @Test func `a shutdown sends what is left`() async throws {
        let collector = try TraceCollector()
        defer { collector.stop() }
        let rig = try Rig(collector.endpoint, ["OTEL_BSP_SCHEDULE_DELAY": "60000"])
        try await running(rig.export) {
            for _ in 0..<1200 { rig.tracer.startSpan("a").end() }
        }
        #expect(try collector.spans().count == 1200)
        // 512 at a time.
        #expect(collector.requests.count >= 3)
        rig.tracer.startSpan("too late").end()
        #expect(rig.queue.droppedCount == 1)
    }

    @Test func `a span that has ended changes no more, and one that is not recorded leaves nothing`() throws {
        let queue = SpanQueue(capacity: 10, batch: 10)
        let tracer = ServiceTracer(.parentBased(root: .alwaysOn), to: queue)
        let span = tracer.startSpan("a")
        for number in 0..<200 { span.addEvent(SpanEvent(name: "e\(number)")) }
        span.end()
        span.end()
        span.operationName = "b"
        span.setStatus(SpanStatus(code: .error))
        let records = queue.take()
        #expect(records.count == 1)
        let body = String(decoding: OTLPEncoding.request(records, resource: []), as: UTF8.self)
        #expect(body.contains(#""name":"a""#) && !body.contains("status"))
        #expect(body.contains(#""droppedEventsCount":72"#))
        var context = ServiceContext.topLevel
        context.trace = Traceparent(
            "00-\(String(repeating: "a", count: 32))-\(String(repeating: "b", count: 16))-00")
        let child = tracer.startSpan("c", context: context)
        #expect(!child.isRecording && child.context.trace?.text == context.trace?.text)
        child.end()
        #expect(queue.take().isEmpty)
    }
}

/// What the environment says.
func settings(_ environment: [String: String], _ warn: (String) -> Void = { _ in }) throws(ToolError)
    -> TraceSettings?
{
    try TraceSettings(environment: environment, service: "payment", instance: "p1", warn: warn)
}

@Suite struct TraceSettingsTests {
    private static func endpoint(_ environment: [String: String]) throws -> String? {
        guard case .otlp(let endpoint) = try settings(environment)?.exporter else { return nil }
        return endpoint.url
    }

    @Test func `nothing is exported unless the environment says so`() throws {
        #expect(try settings([:]) == nil)
        #expect(try settings(["OTEL_SERVICE_NAME": "a", "OTEL_TRACES_SAMPLER": "always_on"]) == nil)
        #expect(
            try settings(["OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1"]) == nil
        )
        #expect(
            try settings(["OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1"]) == nil)
        #expect(try settings(["OTEL_EXPORTER_OTLP_ENDPOINT": " "]) == nil)
        #expect(try Self.endpoint(["OTEL_TRACES_EXPORTER": "otlp"]) == "http://localhost:4318/v1/traces")
        #expect(try Self.endpoint(["OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1"]) == "http://c:1/v1/traces")
        #expect(try Self.endpoint(["OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/x/"]) == "https://c/x/v1/traces")
        let own = [
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:2/in",
        ]
        #expect(try Self.endpoint(own) == "http://t:2/in")
    }

    @Test(arguments: [
        ("OTEL_TRACES_SAMPLER", "sometimes"), ("OTEL_BSP_MAX_QUEUE_SIZE", "-1"),
        ("OTEL_BSP_SCHEDULE_DELAY", "5s"),
        ("OTEL_SDK_DISABLED", "yes"), ("OTEL_RESOURCE_ATTRIBUTES", "a"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "x"),
        ("OTEL_TRACES_EXPORTER", "zipkin"), ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
    ])
    func `what is not known is left out with a warning that names it`(name: String, value: String) throws {
        var warnings: [String] = []
        let plain = try #require(try settings(["OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1"]))
        let found = try settings(["OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1", name: value]) {
            warnings.append($0)
        }
        let settings = try #require(found)
        #expect(warnings.count == 1 && warnings[0].hasPrefix("\(name): "))
        #expect(!warnings[0].contains("secret"))
        #expect(settings.sampler == plain.sampler && settings.capacity == plain.capacity)
        #expect(settings.delay == plain.delay && settings.resource.count == plain.resource.count)
    }

    @Test(arguments: [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://c"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"), ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/none/ca.pem"),
    ])
    func `what cannot work is a bad configuration that names it`(name: String, value: String) {
        let error = #expect(throws: ToolError.self) {
            try settings(["OTEL_TRACES_EXPORTER": "otlp", name: value])
        }
        #expect(error?.status == .badConfiguration && error?.description.hasPrefix("\(name): ") == true)
    }

    @Test func `samplers keep what they say, and all services the same traces`() throws {
        func sampler(_ name: String, _ argument: String = "") throws -> TraceSampler? {
            try settings([
                "OTEL_TRACES_EXPORTER": "console", "OTEL_TRACES_SAMPLER": name,
                "OTEL_TRACES_SAMPLER_ARG": argument,
            ])?.sampler
        }
        #expect(try settings(["OTEL_TRACES_EXPORTER": "console"])?.sampler == .parentBased(root: .alwaysOn))
        #expect(try sampler("always_off") == .alwaysOff)
        #expect(try sampler("traceidratio", "0.25") == .ratio(0.25))
        #expect(try sampler("traceidratio", "2") == .ratio(1))
        #expect(try sampler("parentbased_traceidratio", "0.01") == .parentBased(root: .ratio(0.01)))
        let (half, quarter) = (TraceSampler.ratio(0.5), TraceSampler.ratio(0.25))
        let ids = (0..<10_000).map { _ in (UInt64.random(in: 0 ... .max), UInt64.random(in: 0 ... .max)) }
        let kept = ids.filter { half.samples($0, below: nil) }
        #expect((4700...5300).contains(kept.count))
        #expect(ids.allSatisfy { !quarter.samples($0, below: nil) || half.samples($0, below: nil) })
        let unsampled = Traceparent(traceID: (1, 1), spanID: 1, isSampled: false)
        #expect(!TraceSampler.parentBased(root: .alwaysOn).samples((1, 1), below: unsampled))
        #expect(
            !TraceSampler.ratio(0).samples((0, 0), below: nil)
                && TraceSampler.ratio(1).samples((0, .max), below: nil))
    }

    @Test(arguments: [
        "", "00", "00-0-0-01", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
    ])
    func `what is no traceparent is none`(text: String) {
        #expect(Traceparent(text) == nil)
    }

    @Test func `a traceparent has digits of base 16, lower case, wherever there are any`() throws {
        let text = Array("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".utf8)
        for place in text.indices where ![2, 35, 52].contains(place) {
            for byte in UInt8(1)..<128 {
                var other = text
                other[place] = byte
                let written = String(decoding: other, as: UTF8.self)
                let isDigit = "0123456789abcdef".utf8.contains(byte)
                let read = Traceparent(written)
                // Another version may have more, not less.
                if place < 2 {
                    #expect((read != nil) == isDigit, "\(written)")
                } else if place < 53 {
                    #expect(read?.text == (isDigit ? written : nil), "\(written)")
                } else {
                    #expect(
                        read.map { "\($0.flags)" }
                            == (isDigit ? "\(UInt8(written.suffix(2), radix: 16) ?? 0)" : nil))
                }
            }
        }
    }

    @Test func `a traceparent is read and written, of newer versions what is known of them`() throws {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        let context = try #require(Traceparent(text))
        #expect(context.isSampled && context.spanID == 0x00f0_67aa_0ba9_02b7 && context.text == text)
        #expect(Traceparent(text.dropLast() + "2")?.isSampled == false)
        #expect(Traceparent("01" + text.dropFirst(2) + "-more")?.text == text)
    }
}
