public import ArgumentParser

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
        let exchanged = await BlockingThread.run {
            Result { () throws(Failure) in try Self.exchange(target, address, limit) }
        }
        guard let exchanged else { throw Failure(reason: "no thread left") }
        let text = try exchanged.get()
        guard let end = text.firstRange(of: "\r\n\r\n"),
            let status = text.split(separator: " ", maxSplits: 2).dropFirst().first.flatMap({ Int($0) })
        else { throw Failure(reason: "what listens there does not speak HTTP") }
        self.status = status
        body = String(text[end.upperBound...])
    }

    private static func exchange(_ target: String, _ address: HTTPAddress, _ limit: Duration)
        throws(Failure) -> String
    {
        let socket: HTTPSocket
        do throws(HTTPSocket.Failure) {
            socket = try HTTPSocket(connectedTo: address, until: .now + limit)
        } catch { throw Failure(reason: error.reason) }
        defer { socket.close() }
        let request = "GET \(target) HTTP/1.1\r\nHost: \(address)\r\nConnection: close\r\n\r\n"
        guard socket.write(Array(request.utf8)) else { throw Failure(reason: "nothing within \(limit)") }
        var bytes: [UInt8] = []
        while bytes.count < 1 << 20 {
            guard let more = socket.read(atMost: 4096) else {
                throw Failure(reason: "nothing within \(limit)")
            }
            if more.isEmpty { break }
            bytes += more
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
