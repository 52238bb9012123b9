internal import Workbench

/// Measures the client's peak memory with few and with many events: it must not grow with their number.
struct MemoryComparison: Sendable {
    let server: BenchServer
    let rounds: Int

    func run(_ works: [Work], few: Int, many: Int) async throws -> MemoryReport {
        let progress = Progress()
        defer { progress.clear() }
        let subject = try Subject.swift(url: server.url)
        var lines: [MemoryReport.Line] = []
        for work in works {
            var peaks: [Int: [Int]] = [:]
            for round in 1...rounds {
                for events in [few, many] {
                    progress.show("\(work.name), round \(round) of \(rounds), \(events) events")
                    peaks[events, default: []].append(
                        try await subject.measure(work, events: events, on: server).peakBytes)
                }
            }
            lines.append(
                .init(
                    work: work.name, few: few, fewPeakBytes: median(peaks[few] ?? []), many: many,
                    manyPeakBytes: median(peaks[many] ?? [])))
        }
        return MemoryReport(rows: lines)
    }
}
