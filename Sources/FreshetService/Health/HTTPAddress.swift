public import ArgumentParser
internal import Glibc

/// The flags of a process that answers health and metrics over HTTP.
public struct HTTPFlags: ParsableArguments {
    @Option(
        name: .customLong("http-port"),
        help:
            "Where to answer /livez, /readyz, /startupz and /metrics; 0 for any free port. [HTTP_PORT, default: nowhere]"
    )
    var port: Int?

    @Option(
        name: .customLong("http-host"), help: "The address to listen on. [HTTP_HOST, default 0.0.0.0]")
    var host: String?

    /// No flags.
    public init() {}
}

/// Where a process answers over HTTP.
struct HTTPAddress: Sendable, Equatable, CustomStringConvertible {
    /// An IP address.
    let host: String
    /// 0 for any that is free.
    var port: Int

    /// Nil when no port is said, and there is none to use then.
    init?(_ flags: HTTPFlags, _ settings: Settings, otherwise standard: Int? = nil) throws {
        let flag = SettingFlag.flag("--http-port", flags.port)
        let port =
            if let standard {
                try settings.number("HTTP_PORT", flag, in: 0...65_535, default: standard)
            } else {
                try settings.number("HTTP_PORT", flag, in: 0...65_535)
            }
        let host = try settings.value(
            "HTTP_HOST", .flag("--http-host", flags.host), default: .text("0.0.0.0")
        ) { text in
            let host = text == "localhost" ? "127.0.0.1" : text
            guard Self.isAddress(host) else { throw SettingProblem("'\(text)' is not an IP address") }
            return host
        }
        guard let port, let host else { return nil }
        self.init(host: host, port: port)
    }

    init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Where a process of this machine asks what listens there.
    var fromHere: HTTPAddress {
        switch host {
        case "0.0.0.0": HTTPAddress(host: "127.0.0.1", port: port)
        case "::": HTTPAddress(host: "::1", port: port)
        default: self
        }
    }

    /// As in a URL.
    var description: String { isVersion6 ? "[\(host)]:\(port)" : "\(host):\(port)" }

    var isVersion6: Bool { host.contains(":") }

    private static func isAddress(_ text: String) -> Bool {
        var (four, six) = (in_addr(), in6_addr())
        return unsafe inet_pton(AF_INET, text, &four) == 1 || inet_pton(AF_INET6, text, &six) == 1
    }
}
