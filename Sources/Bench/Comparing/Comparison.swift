internal import FreshetTesting
internal import Workbench

/// Measures both sides in turn, round after round, and takes the medians.
struct Comparison: Sendable {
    let server: BenchServer
    let rounds: Int
    /// Events in each measurement, or nil for each row's own number.
    let events: Int?
    /// What the client says of itself; then the other side is the client that says nothing.
    var telemetry: [Telemetry] = []
    /// Which part of the traces is recorded, when it makes traces.
    var sampled = 1.0

    func run(_ rows: [Row]) async throws -> ComparisonReport {
        var results: [ComparisonReport.Line] = []
        let progress = Progress()
        for row in rows {
            let (subject, other) = try opponents(in: row)
            var samples: [Sample] = []
            var otherSamples: [Sample] = []
            let events = events ?? row.defaultEvents
            // In turn, so that what slows the machine down for a while slows both.
            for round in 1...rounds {
                progress.show("\(row.rawValue), round \(round) of \(rounds), \(subject.name)")
                samples.append(try await subject.measure(row.work, events: events, on: server))
                progress.show("\(row.rawValue), round \(round) of \(rounds), \(other.name)")
                otherSamples.append(
                    try await other.measure(
                        telemetry.isEmpty ? row.otherWork : row.work, events: events, on: server))
            }
            results.append(
                .init(
                    row, Figures(medianOf: samples), Figures(medianOf: otherSamples),
                    against: telemetry.isEmpty ? row.against : other.name))
        }
        progress.clear()
        return ComparisonReport(rows: results)
    }

    private func opponents(in row: Row) throws -> (Subject, Subject) {
        if !telemetry.isEmpty {
            let names = telemetry.map(\.rawValue).joined(separator: " and ")
            let url = row.usesTLS ? server.tlsURL : server.url
            return (
                try .swift(url: url, named: "Swift with \(names)", with: telemetry, sampled: sampled),
                try .swift(url: url, named: "Swift without \(names)")
            )
        }
        if row == .deliverPerKey {
            return (try .swift(url: server.url), try .swift(url: server.url, named: "Swift without an order"))
        }
        guard row.usesTLS else { return (try .swift(url: server.url), try .c(address: server.address)) }
        return (
            try .swift(url: server.tlsURL, named: "Swift with TLS"),
            try .swift(url: server.tcpURL, named: "Swift without TLS")
        )
    }
}
