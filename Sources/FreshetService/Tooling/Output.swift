public import ArgumentParser
internal import FoundationEssentials

/// How a tool prints its data.
public enum OutputFormat: String, ExpressibleByArgument, CaseIterable, Sendable {
    /// Columns, for people.
    case table
    /// One JSON document.
    case json
    /// One JSON object a line.
    case ndjson
}

/// The `--format` of every tool.
public struct OutputOptions: ParsableArguments, Sendable {
    @Option(help: "table, json (one document) or ndjson (one object a line).")
    var format: OutputFormat = .table

    /// The default.
    public init() {}

    /// What was asked for.
    public var kind: OutputFormat { format }

    /// Prints rows: as columns under their names, as one JSON array, or as JSON lines.
    public func show<Row: Encodable>(_ rows: [Row], columns: [(name: String, value: (Row) -> String)]) throws
    {
        var output = rowOutput(columns: columns)
        for row in rows { try output.add(row) }
        output.finish()
    }

    /// Prints one result: as a sentence, or as JSON.
    public func show(_ result: some Encodable, sentence: String) throws {
        switch format {
        case .table: StandardOutput.write(sentence)
        case .json: StandardOutput.write(try Self.json(result, pretty: true))
        case .ndjson: StandardOutput.write(try Self.json(result, pretty: false))
        }
    }

    /// An output for rows that come one by one; `finish` it.
    ///
    /// - Parameter isBare: whether a table has no line with the columns' names, for output that is mostly piped on.
    public func rowOutput<Row: Encodable>(
        columns: [(name: String, value: (Row) -> String)], isBare: Bool = false
    ) -> RowOutput<Row> {
        RowOutput(format, columns, isBare: isBare)
    }

    /// A value as JSON text, its members sorted by name.
    public static func json(_ value: some Encodable, pretty: Bool) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        if pretty { encoder.outputFormatting.insert(.prettyPrinted) }
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }
}
