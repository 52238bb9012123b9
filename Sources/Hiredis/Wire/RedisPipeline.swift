/// One or more commands in the server's protocol, ready to be written in one go.
///
/// A pipeline is sent as a whole and its replies come back together, in order. It is not a transaction: other
/// clients' commands may run in between, and one command's error does not stop the next.
public struct RedisPipeline: Sendable {
    /// The commands as they go over the wire.
    public private(set) var bytes: [UInt8] = []
    /// How many commands there are, which is how many replies come back.
    public private(set) var count = 0

    /// An empty pipeline.
    public init() {}

    /// Whole commands that were written before.
    init(bytes: [UInt8], count: Int) {
        self.bytes = bytes
        self.count = count
    }

    /// Appends all commands of another pipeline.
    public mutating func append(_ other: RedisPipeline) {
        bytes.append(contentsOf: other.bytes)
        count += other.count
    }

    /// Makes room for so many bytes of commands.
    public mutating func reserveCapacity(_ byteCount: Int) { bytes.reserveCapacity(byteCount) }

    /// Appends one command of exactly `argumentCount` arguments, its name included.
    ///
    /// The count is part of the protocol's header, so it is said first; a body that writes another number is a
    /// programmer's error.
    public mutating func append(argumentCount: Int, _ body: (inout CommandWriter) -> Void) {
        precondition(argumentCount > 0, "a command has a name: the server answers nothing to an empty one")
        // Most pipelines are one small command, whose buffer would otherwise grow five times.
        if bytes.capacity == 0 { bytes.reserveCapacity(512) }
        bytes.appendHeader(UInt8(ascii: "*"), argumentCount)
        var taken: [UInt8] = []
        swap(&taken, &bytes)
        var writer = CommandWriter(bytes: consume taken)
        body(&writer)
        precondition(
            writer.written == argumentCount,
            "a command of \(argumentCount) arguments was announced, \(writer.written) were written")
        bytes = writer.finish()
        count += 1
    }

    /// Appends one command, its name first.
    public mutating func append(_ arguments: any RedisArgument...) {
        append(arguments: arguments)
    }

    /// Appends one command, its name first.
    public mutating func append(arguments: [any RedisArgument]) {
        append(argumentCount: arguments.count) { writer in
            for argument in arguments { argument.write(to: &writer) }
        }
    }
}

extension CommandWriter {
    consuming func finish() -> [UInt8] { bytes }
}
