internal import FoundationEssentials

/// The result of `bench memory`.
struct MemoryReport: Encodable, Sendable {
    struct Line: Encodable, Sendable {
        let work: String
        let few: Int
        let fewPeakBytes: Int
        let many: Int
        let manyPeakBytes: Int
        /// The peak with many events over that with few.
        let peakRatio: Double

        init(work: String, few: Int, fewPeakBytes: Int, many: Int, manyPeakBytes: Int) {
            self.work = work
            self.few = few
            self.fewPeakBytes = fewPeakBytes
            self.many = many
            self.manyPeakBytes = manyPeakBytes
            peakRatio = (Double(manyPeakBytes) / Double(fewPeakBytes)).rounded(places: 3)
        }
    }

    let rows: [Line]

    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    var table: String {
        var table = TextTable(["work", "events", "peak MiB", "events", "peak MiB", "ratio"])
        for row in rows {
            table.add([
                row.work, "\(row.few)", row.fewPeakBytes.mebibytes, "\(row.many)",
                row.manyPeakBytes.mebibytes,
                row.peakRatio.text(places: 3),
            ])
        }
        return table.text
    }
}
