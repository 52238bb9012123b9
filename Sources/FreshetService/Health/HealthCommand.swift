public import ArgumentParser
internal import FlyingSocks
internal import FoundationEssentials
internal import Glibc

/// `PROGRAM health`: asks the program that runs beside it as a service how it is. For the checks of containers, which need no shell
/// and no other program then. Name it in the worker's configuration:
///
///     static let configuration = CommandConfiguration(subcommands: [HealthCommand.self])
///
/// It prints the checks, and exits 0 when all are well, 1 when one is not or nobody answers, 78 without a port to ask.
public struct HealthCommand: AsyncParsableCommand {
    /// Its name and help.
    public static let configuration = CommandConfiguration(
        commandName: "health",
        abstract: "Asks the process that listens on HTTP_PORT of this machine how it is; exits 0 or 1.")

    /// What can be asked.
    enum Question: String, ExpressibleByArgument, CaseIterable {
        case live, ready, startup
    }

    @Argument(help: "live, ready or startup.")
    var question: Question = .ready

    @OptionGroup var http: HTTPFlags

    @Option(help: "A file with settings, in lines NAME=value. [FRESHET_CONFIG]")
    var config: String?

    /// The default.
    public init() {}

    /// Asks.
    public func run() async throws {
        guard let address = try HTTPAddress(http, Settings(file: config)), address.port > 0 else {
            throw ToolError(
                .badConfiguration,
                "HTTP_PORT or --http-port must name the port that the process listens on (with 0 only its log knows it)"
            )
        }
        let question = Health.Question(rawValue: question.rawValue) ?? .ready
        let answer: LocalAnswer
        do {
            answer = try await LocalAnswer(to: "\(question.path)?verbose", at: address.fromHere)
        } catch {
            throw ToolError(.failed, "no answer from \(address.fromHere): \(error.reason)")
        }
        StandardOutput.write(answer.body.hasSuffix("\n") ? String(answer.body.dropLast()) : answer.body)
        guard answer.status == 200 else { throw ExitCode(ExitStatus.failed.rawValue) }
    }
}

/// The answer of a server of this machine to one GET.
private struct LocalAnswer {
    struct Failure: Error { let reason: String }

    let status: Int
    let body: String

    /// Waits for two seconds at most.
    init(to target: String, at address: HTTPAddress, within limit: Duration = .seconds(2))
        async throws(Failure)
    {
        let text: String?
        do {
            text = try await withThrowingTaskGroup(of: String?.self) { tasks in
                tasks.addTask { try await Self.exchange(target, address) }
                tasks.addTask {
                    try await Task.sleep(for: limit)
                    return nil
                }
                defer { tasks.cancelAll() }
                return try await tasks.next() ?? nil
            }
        } catch {
            switch error {
            case SocketError.failed(_, _, let message): throw Failure(reason: message)
            // What FlyingFox makes of a connection that is refused.
            case SocketError.disconnected: throw Failure(reason: "the connection was refused")
            default: throw Failure(reason: "\(error)")
            }
        }
        guard let text else { throw Failure(reason: "nothing within \(limit)") }
        guard let end = text.firstRange(of: "\r\n\r\n"),
            let status = text.split(separator: " ", maxSplits: 2).dropFirst().first.flatMap({ Int($0) })
        else { throw Failure(reason: "what listens there does not speak HTTP") }
        self.status = status
        body = String(text[end.upperBound...])
    }

    private static func exchange(_ target: String, _ address: HTTPAddress) async throws -> String {
        let port = UInt16(address.port)
        let socket =
            address.isVersion6
            ? try await AsyncSocket.connected(to: sockaddr_in6.inet6(ip6: address.host, port: port))
            : try await AsyncSocket.connected(to: sockaddr_in.inet(ip4: address.host, port: port))
        defer { try? socket.close() }
        try await socket.write(
            Data("GET \(target) HTTP/1.1\r\nHost: \(address)\r\nConnection: close\r\n\r\n".utf8))
        var bytes: [UInt8] = []
        do {
            while bytes.count < 1 << 20 { bytes += try await socket.read(atMost: 4096) }
        } catch SocketError.disconnected {}
        return String(decoding: bytes, as: UTF8.self)
    }
}
