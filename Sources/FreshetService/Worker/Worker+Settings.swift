public import FreshetRecords

extension Worker {
    /// A database beside the service's records. One that cannot be opened ends the worker with 78.
    public func open(_ url: String) throws -> any Records { try Self.open(url) }
}

extension Settings {
    /// Prints what was read, and where it came from.
    func show(_ output: OutputOptions) throws {
        try output.show(
            all,
            columns: [
                ("setting", \.name), ("value", { $0.value.isEmpty ? "-" : $0.value }),
                ("origin", \.origin.description),
            ])
    }
}
