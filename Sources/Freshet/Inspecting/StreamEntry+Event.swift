public import Hiredis

extension StreamEntry {
    /// Where it stood in the log, for an entry of a dead-letter, invalid or redelivery stream.
    public var originalID: StreamID? { field(Field.originalID).flatMap { StreamID($0) } }

    /// The event, or an error that says why it is none.
    public func event() throws(FreshetError) -> Event {
        try DecodedFields(fields, entry: id, trusted: true).event
    }
}
