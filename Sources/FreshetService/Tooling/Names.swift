public import ArgumentParser
public import Freshet
public import Hiredis

extension TopicName: ExpressibleByArgument {
    /// A topic's name on a command line.
    public init?(argument: String) { try? self.init(checking: argument) }
}

extension GroupName: ExpressibleByArgument {
    /// A group's name on a command line.
    public init?(argument: String) { try? self.init(checking: argument) }
}

extension EventType: ExpressibleByArgument {
    /// An event type on a command line.
    public init?(argument: String) { try? self.init(checking: argument) }
}

extension StreamID: ExpressibleByArgument {
    /// A position in a stream on a command line.
    public init?(argument: String) { self.init(argument) }
}

/// A kind of check on a command line: its name.
extension HealthCheck.Kind: ExpressibleByArgument {}
