/// Why there are no results.
struct BenchError: Error, CustomStringConvertible {
    /// The reason, for a person.
    let description: String

    init(_ description: String) { self.description = description }
}
