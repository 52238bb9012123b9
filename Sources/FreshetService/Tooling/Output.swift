public import ArgumentParser
internal import FoundationEssentials
internal import Glibc

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
public struct OutputOptions: ParsableArguments {
    @Option(help: "table, json or ndjson.")
    var format: OutputFormat = .table

    /// The default.
    public init() {}

    /// Prints rows: as columns under their names, or as JSON.
    public func show<Row: Encodable>(_ rows: [Row], columns: [(name: String, value: (Row) -> String)]) throws
    {
        switch format {
        case .table: print(Self.table(rows, columns))
        case .json: print(try Self.json(rows, pretty: true))
        case .ndjson: for row in rows { print(try Self.json(row, pretty: false)) }
        }
    }

    /// Prints one result: as a sentence, or as JSON.
    public func show(_ result: some Encodable, sentence: String) throws {
        switch format {
        case .table: print(sentence)
        case .json: print(try Self.json(result, pretty: true))
        case .ndjson: print(try Self.json(result, pretty: false))
        }
    }

    /// What was asked for.
    public var kind: OutputFormat { format }

    /// A value as JSON text, its members sorted by name.
    public static func json(_ value: some Encodable, pretty: Bool) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        if pretty { encoder.outputFormatting.insert(.prettyPrinted) }
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    private static func table<Row>(_ rows: [Row], _ columns: [(name: String, value: (Row) -> String)])
        -> String
    {
        let cells = [columns.map { $0.name.uppercased() }] + rows.map { row in columns.map { $0.value(row) } }
        let widths = columns.indices.map { index in cells.map { $0[index].count }.max() ?? 0 }
        return cells.map { line in
            var text = ""
            for (index, cell) in line.enumerated() {
                let isLast = index == line.count - 1
                text += cell + (isLast ? "" : String(repeating: " ", count: widths[index] - cell.count + 2))
            }
            return text
        }.joined(separator: "\n")
    }
}

/// Asks before something is changed.
public struct ConfirmationOptions: ParsableArguments {
    @Flag(help: "Do it without asking.")
    var yes = false

    @Flag(help: "Say what would be done, and do nothing.")
    var dryRun = false

    /// Neither.
    public init() {}

    /// Whether to go on: false for a dry run and for a "no". Off a terminal nobody can be asked: without `--yes` that is a
    /// usage error.
    public func isConfirmed(_ plan: String) throws -> Bool {
        StandardError.write(plan)
        if dryRun { return false }
        if yes { return true }
        guard isatty(0) == 1 else {
            throw ToolError(.usage, "not on a terminal, so nobody can be asked: add --yes to do it")
        }
        StandardError.write("Go on? [y/N]")
        return ["y", "yes"].contains((readLine() ?? "").lowercased())
    }
}
