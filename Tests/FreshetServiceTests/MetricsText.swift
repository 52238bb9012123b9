import Foundation
import FreshetTesting
import Testing

/// What a page of metrics says.
struct MetricsPage {
    /// The value of each series, by its name and labels as they are written.
    private(set) var values: [String: Double] = [:]
    /// The type of each metric.
    private(set) var types: [String: String] = [:]
    /// The names of the labels of each metric, besides a bucket's.
    private(set) var labels: [String: Set<String>] = [:]

    init(_ text: String) throws {
        var family = ""
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            if line.hasPrefix("# TYPE ") {
                family = String(words[2])
                types[family] = String(words[3])
            }
            if line.hasPrefix("#") { continue }
            let value = try #require(words.last.flatMap { Double($0) ?? ($0 == "+Inf" ? .infinity : nil) })
            let series = String(line.dropLast(words.last?.count ?? 0).dropLast())
            try #require(values.updateValue(value, forKey: series) == nil, "twice: \(series)")
            let names = series.matches(of: /[{,]([a-z_]+)="/).map { String($0.output.1) }
            labels[family, default: []].formUnion(names.filter { $0 != "le" })
        }
    }

    subscript(series: String) -> Double? { values[series] }

    /// A series of the topic and group that most tests use.
    func of(_ name: String, _ group: String, _ more: String = "") -> Double? {
        var labels = [more, "group=\"\(group)\"", "topic=\"notes\""].filter { !$0.isEmpty }.sorted()
        if more.hasPrefix("le=") { labels = labels.filter { $0 != more } + [more] }
        return values["freshet_\(name){\(labels.joined(separator: ","))}"]
    }
}

/// Prometheus' own judgement of a page.
enum Promtool {
    static let path = "/usr/bin/promtool"
    static var isThere: Bool { FileManager.default.isExecutableFile(atPath: path) }

    /// What it finds wrong; empty when there is nothing.
    static func complaints(about text: String) async throws -> String {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try text.write(toFile: "\(folder)/page", atomically: false, encoding: .utf8)
        let child = try ChildProcess(
            path, ["check", "metrics"], input: .file("\(folder)/page"), output: .file("\(folder)/out"),
            errors: .file("\(folder)/out"))
        let ending = await child.wait()
        let said = try String(contentsOfFile: "\(folder)/out", encoding: .utf8)
        return ending == .exited(0) && said.isEmpty ? "" : "\(ending): \(said)"
    }
}

func temporaryFolder() throws -> String {
    let folder = "\(NSTemporaryDirectory())/freshet-metrics-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    return folder
}
