internal import FoundationEssentials

/// The result of `bench client`. Ratios are the client's figure over the other side's.
struct ComparisonReport: Encodable, Sendable {
    struct Line: Encodable, Sendable {
        let work: String
        let swift: Figures
        /// The other side: the C program, unless `against` says otherwise.
        let c: Figures
        let cpuRatio: Double
        let rateRatio: Double
        let p99Ratio: Double?
        let against: String?

        init(_ row: Row, _ swift: Figures, _ c: Figures, against: String?) {
            work = row.rawValue
            self.swift = swift
            self.c = c
            cpuRatio = (swift.cpuMicros / c.cpuMicros).rounded(places: 3)
            rateRatio = (swift.eventsPerSecond / c.eventsPerSecond).rounded(places: 3)
            p99Ratio = swift.p99Micros.flatMap { own in c.p99Micros.map { (own / $0).rounded(places: 3) } }
            self.against = against
        }
    }

    let rows: [Line]

    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    var table: String {
        var table = TextTable([
            "work", "Swift events/s", "C events/s", "ratio", "Swift CPU us", "C CPU us", "ratio", "Swift MiB",
            "C MiB", "p50/p99/p99.9 us",
        ])
        for row in rows {
            table.add([
                row.work, "\(Int(row.swift.eventsPerSecond))", "\(Int(row.c.eventsPerSecond))",
                row.rateRatio.text(places: 2), row.swift.cpuMicros.text(places: 3),
                row.c.cpuMicros.text(places: 3), row.cpuRatio.text(places: 2),
                row.swift.peakBytes.mebibytes, row.c.peakBytes.mebibytes, remark(on: row),
            ])
        }
        return table.text
    }

    private func remark(on row: Line) -> String {
        if let against = row.against { return "C: \(against)" }
        if let spent = row.swift.spent { return "Swift \(spent)" }
        guard let ratio = row.p99Ratio else { return "" }
        let sides = [("Swift", row.swift), ("C", row.c)].map { name, side in
            let figures = [side.p50Micros, side.p99Micros, side.p999Micros].map { "\(Int($0 ?? 0))" }
            return "\(name) \(figures.joined(separator: "/"))"
        }
        return "\(sides.joined(separator: ", ")); p99 ratio \(ratio.text(places: 2))"
    }
}
