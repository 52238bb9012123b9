internal import FoundationEssentials
package import Freshet

/// How traces are sampled and where they go, from OpenTelemetry's variables.
///
/// As its specification asks, a number or a name that is not known is warned of and left out. What cannot work at all, an endpoint
/// that is no URL or a certificate that is not there, is an error: traces that nobody gets would be missed only when they are needed.
package struct TraceSettings: Sendable {
    /// Where spans go.
    package enum Exporter: Sendable {
        case otlp(OTLPEndpoint)
        case console
    }

    package let exporter: Exporter
    package let sampler: TraceSampler
    /// What the spans are of.
    package let resource: [(key: String, value: String)]
    package let capacity: Int
    package let batch: Int
    package let delay: Duration
    /// How long is tried to export a batch.
    package let patience: Duration

    /// Nil when nothing is to be traced: no exporter and no endpoint is named, or all is switched off.
    ///
    /// - Parameters:
    ///   - service: the service's name unless the environment says another.
    ///   - warn: is told what was left out, and why.
    package init?(
        environment: [String: String], service: String, instance: ConsumerName, warn: (String) -> Void
    ) throws(ToolError) {
        let variables = OTelVariables(environment)
        if variables.isTrue("OTEL_SDK_DISABLED", warn) { return nil }
        let hasEndpoint = variables.exporterText("ENDPOINT") != nil
        let kinds = ["otlp", "console", "none"]
        let kind =
            variables.choice("OTEL_TRACES_EXPORTER", of: kinds, warn) ?? (hasEndpoint ? "otlp" : "none")
        switch kind {
        case "console": exporter = .console
        case "otlp": exporter = .otlp(try OTLPEndpoint(variables, warn))
        default: return nil
        }
        sampler = Self.sampler(variables, warn)
        resource = Self.resource(variables, service, instance, warn)
        let capacity = variables.number("OTEL_BSP_MAX_QUEUE_SIZE", in: 1...1_000_000, warn) ?? 2048
        let batch = variables.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", in: 1...1_000_000, warn) ?? 512
        if batch > capacity {
            warn("OTEL_BSP_MAX_EXPORT_BATCH_SIZE: \(batch) is more than the queue holds, taking \(capacity)")
        }
        self.capacity = capacity
        self.batch = min(batch, capacity)
        delay = .milliseconds(
            variables.number("OTEL_BSP_SCHEDULE_DELAY", in: 0...Int(Int32.max), warn) ?? 5000)
        patience = variables.timeout("OTEL_BSP_EXPORT_TIMEOUT", warn) ?? .seconds(30)
    }

    private static func sampler(_ variables: OTelVariables, _ warn: (String) -> Void) -> TraceSampler {
        let standard = "parentbased_always_on"
        let names = [
            "always_on", "always_off", "traceidratio", standard, "parentbased_always_off",
            "parentbased_traceidratio",
        ]
        let name = variables.choice("OTEL_TRACES_SAMPLER", of: names, warn) ?? standard
        var ratio = 1.0
        if name.hasSuffix("traceidratio"), let text = variables["OTEL_TRACES_SAMPLER_ARG"] {
            if let number = Double(text), (0...1).contains(number) {
                ratio = number
            } else {
                warn("OTEL_TRACES_SAMPLER_ARG: '\(text)' is not a number from 0 to 1, left out")
            }
        }
        return switch name {
        case "always_on": .alwaysOn
        case "always_off": .alwaysOff
        case "traceidratio": .ratio(ratio)
        case "parentbased_always_off": .parentBased(root: .alwaysOff)
        case "parentbased_traceidratio": .parentBased(root: .ratio(ratio))
        default: .parentBased(root: .alwaysOn)
        }
    }

    private static func resource(
        _ variables: OTelVariables, _ service: String, _ instance: ConsumerName, _ warn: (String) -> Void
    ) -> [(key: String, value: String)] {
        var all = [
            "service.name": service, "service.instance.id": instance.rawValue,
            "process.pid": "\(ProcessInfo.processInfo.processIdentifier)", "telemetry.sdk.name": "freshet",
            "telemetry.sdk.language": "swift",
        ]
        for (key, value) in variables.pairs("OTEL_RESOURCE_ATTRIBUTES", warn) { all[key] = value }
        if let name = variables["OTEL_SERVICE_NAME"] { all["service.name"] = name }
        return all.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
}

/// Where spans are sent, and how.
package struct OTLPEndpoint: Sendable {
    package let url: String
    /// Lines of headers, which may hold a key: never to be shown.
    let headers: [String]
    package let timeout: Duration
    let caFile: String?
    let clientCertificate: String?
    let clientKey: String?

    /// - Throws: `badConfiguration` that names the variable.
    init(_ variables: OTelVariables, _ warn: (String) -> Void) throws(ToolError) {
        func file(_ name: String) throws(ToolError) -> String? {
            guard let (variable, path) = variables.exporterText(name) else { return nil }
            guard FileManager.default.isReadableFile(atPath: path) else {
                throw ToolError(.badConfiguration, "\(variable): cannot read '\(path)'")
            }
            return path
        }
        if let (variable, text) = variables.exporterText("ENDPOINT") {
            guard let parts = URL(string: text),
                ["http", "https"].contains(parts.scheme?.lowercased() ?? ""),
                parts.host()?.isEmpty == false
            else {
                // Not the value itself: it may hold a password.
                throw ToolError(
                    .badConfiguration, "\(variable): is not a URL that begins with http:// or https://")
            }
            let isOfTraces = variable == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
            url = isOfTraces ? text : text + (text.hasSuffix("/") ? "" : "/") + "v1/traces"
        } else {
            url = "http://localhost:4318/v1/traces"
        }
        if let (variable, text) = variables.exporterText("PROTOCOL"), text != "http/json" {
            warn("\(variable): '\(text)' is not what is spoken here, sending http/json")
        }
        if let (variable, text) = variables.exporterText("COMPRESSION"), text != "none" {
            warn("\(variable): '\(text)' is left out, sending without compression")
        }
        let variable = variables.exporterText("HEADERS")?.variable ?? ""
        headers = variables.pairs(variable, warn).map { "\($0.key): \($0.value)" }
        timeout =
            variables.exporterText("TIMEOUT").flatMap { variables.timeout($0.variable, warn) } ?? .seconds(10)
        caFile = try file("CERTIFICATE")
        clientCertificate = try file("CLIENT_CERTIFICATE")
        clientKey = try file("CLIENT_KEY")
    }

    /// Without user and password, and without a query: some collectors take keys there.
    package var displayName: String {
        guard let parts = URL(string: url) else { return "" }
        return
            "\(parts.scheme ?? "")://\(parts.host() ?? "")\(parts.port.map { ":\($0)" } ?? "")\(parts.path)"
    }
}

/// Variables as OpenTelemetry reads them: an empty one is none.
struct OTelVariables {
    private let environment: [String: String]

    /// Those of OpenTelemetry's that a program says.
    static func said(_ settings: Settings) throws(ToolError) -> [String: String] {
        var all: [String: String] = [:]
        for name in [
            "OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_EXPORTER",
            "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_BSP_SCHEDULE_DELAY",
            "OTEL_BSP_EXPORT_TIMEOUT",
            "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        ] { all[name] = try settings.said(name) }
        for of in ["TRACES_", ""] {
            for name in [
                "PROTOCOL", "COMPRESSION", "TIMEOUT", "CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY",
            ] {
                all["OTEL_EXPORTER_OTLP_\(of)\(name)"] = try settings.said("OTEL_EXPORTER_OTLP_\(of)\(name)")
            }
            for (name, hiding) in [("ENDPOINT", Setting.Hiding.passwords), ("HEADERS", .all)] {
                let name = "OTEL_EXPORTER_OTLP_\(of)\(name)"
                all[name] = try settings.said(name, hiding: hiding)
            }
        }
        return all
    }

    init(_ environment: [String: String]) { self.environment = environment }

    subscript(name: String) -> String? {
        environment[name].flatMap { text in
            let text = text.trimmingCharacters(in: " \t")
            return text.isEmpty ? nil : text
        }
    }

    /// What is said of traces, or else of all that is exported.
    func exporterText(_ name: String) -> (variable: String, text: String)? {
        for variable in ["OTEL_EXPORTER_OTLP_TRACES_\(name)", "OTEL_EXPORTER_OTLP_\(name)"] {
            if let text = self[variable] { return (variable, text) }
        }
        return nil
    }

    func isTrue(_ name: String, _ warn: (String) -> Void) -> Bool {
        guard let text = self[name]?.lowercased() else { return false }
        if text != "true", text != "false" {
            warn("\(name): '\(text)' is neither true nor false, taking false")
        }
        return text == "true"
    }

    func choice(_ name: String, of known: [String], _ warn: (String) -> Void) -> String? {
        guard let text = self[name] else { return nil }
        if known.contains(text.lowercased()) { return text.lowercased() }
        warn("\(name): '\(text)' is not one of \(known.joined(separator: ", ")), left out")
        return nil
    }

    func number(_ name: String, in range: ClosedRange<Int>, _ warn: (String) -> Void) -> Int? {
        guard let text = self[name] else { return nil }
        if let number = Int(text), range.contains(number) { return number }
        warn("\(name): '\(text)' is not a whole number from \(range.lowerBound), left out")
        return nil
    }

    /// Milliseconds, of which 0 is no limit.
    func timeout(_ name: String, _ warn: (String) -> Void) -> Duration? {
        number(name, in: 0...Int(Int32.max), warn).map { .milliseconds($0 == 0 ? Int(Int32.max) : $0) }
    }

    /// `key=value,key=value`, percent-encoded; none of them when one is not so.
    func pairs(_ name: String, _ warn: (String) -> Void) -> [(key: String, value: String)] {
        guard let text = self[name] else { return [] }
        var pairs: [(key: String, value: String)] = []
        for part in text.split(separator: ",") {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let decoded = sides.map { String($0).trimmingCharacters(in: " \t").percentDecoded }
            guard decoded.count == 2, let key = decoded[0], let value = decoded[1], !key.isEmpty,
                !(key + value).utf8.contains(where: { $0 < 0x20 })
            else {
                // Not the value itself: headers hold keys.
                warn("\(name): is not of the form key=value,key=value, left out")
                return []
            }
            pairs.append((key, value))
        }
        return pairs
    }
}

extension String {
    fileprivate func trimmingCharacters(in set: String) -> String {
        let rest = drop { set.contains($0) }
        guard let last = rest.lastIndex(where: { !set.contains($0) }) else { return "" }
        return String(rest[...last])
    }

    /// Nil when it is not percent-encoded UTF-8.
    fileprivate var percentDecoded: String? {
        var bytes: [UInt8] = []
        var rest = utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2, let text = String(rest.prefix(2)), let value = UInt8(text, radix: 16)
            else {
                return nil
            }
            bytes.append(value)
            rest.removeFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
