/// The report as a picture: the rates by the number of workers, and the rate while workers come and go.
struct ScalePlot {
    private static let size = (width: 960, height: 380)
    private static let colours = ["any": "#2563eb", "perKey": "#c2410c"]

    private let report: ScaleReport

    init(_ report: ScaleReport) { self.report = report }

    var text: String {
        let (width, height) = Self.size
        var lines = [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(width) \(height)\" font-family=\"sans-serif\" font-size=\"12\">",
            "<rect width=\"\(width)\" height=\"\(height)\" fill=\"#ffffff\"/>",
        ]
        lines += steps
        if let churn = report.churns.first { lines += self.churn(churn) }
        return (lines + ["</svg>", ""]).joined(separator: "\n")
    }

    /// A rectangle with axes; x and y run from 0 to their greatest values.
    private struct Panel {
        let left: Double
        let width: Double
        let mostX: Double
        let mostY: Double
        let top = 60.0
        let height = 260.0

        func x(_ value: Double) -> Double { left + value / mostX * width }
        func y(_ value: Double) -> Double { top + height - value / mostY * height }

        func axes(title: String, x label: String, xMarks: [Int], yMarks: [Int]) -> [String] {
            var lines = [
                text(left, 28, title, "start", "#111827", bold: true),
                text(left + width / 2, top + height + 44, label, "middle", "#374151"),
                text(left, top - 12, "events/s", "start", "#374151"),
            ]
            for mark in yMarks {
                lines.append(line((left, y(Double(mark))), (left + width, y(Double(mark))), "#e5e7eb"))
                lines.append(text(left - 8, y(Double(mark)) + 4, "\(mark)", "end", "#374151"))
            }
            for mark in xMarks {
                lines.append(text(x(Double(mark)), top + height + 20, "\(mark)", "middle", "#374151"))
            }
            return lines + [line((left, y(0)), (left + width, y(0)), "#374151")]
        }

        func line(
            _ from: (Double, Double), _ to: (Double, Double), _ colour: String, dashed: Bool = false
        ) -> String {
            "<line x1=\"\(short(from.0))\" y1=\"\(short(from.1))\" x2=\"\(short(to.0))\" y2=\"\(short(to.1))\" stroke=\"\(colour)\"\(dashed ? " stroke-dasharray=\"5 4\"" : "")/>"
        }

        func curve(_ points: [(Double, Double)], _ colour: String) -> String {
            let places = points.map { "\(short(x($0.0))),\(short(y($0.1)))" }.joined(separator: " ")
            return "<polyline points=\"\(places)\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"2\"/>"
        }

        func text(
            _ x: Double, _ y: Double, _ text: String, _ anchor: String, _ colour: String, bold: Bool = false
        ) -> String {
            "<text x=\"\(short(x))\" y=\"\(short(y))\" text-anchor=\"\(anchor)\" fill=\"\(colour)\"\(bold ? " font-weight=\"bold\"" : "")>\(text)</text>"
        }

        private func short(_ number: Double) -> String {
            let tenths = Int((number * 10).rounded())
            return "\(tenths / 10).\(tenths % 10)"
        }
    }

    /// Round numbers up to at least this one, about five.
    private static func marks(to most: Double) -> [Int] {
        var step = 1
        let factors = [2, 5, 10]
        var magnitude = 1
        while Double(step) * 5 < most {
            for factor in factors where Double(step) * 5 < most { step = magnitude * factor }
            magnitude *= 10
        }
        return (0...5).map { $0 * step }
    }

    private var steps: [String] {
        let mostWorkers = Double(report.steps.map(\.workers).max() ?? 1)
        let byOrdering = Dictionary(grouping: report.steps, by: \.ordering).sorted { $0.key < $1.key }
        let ideal = report.steps.first.map { Double($0.eventsPerSecond) / Double($0.workers) } ?? 0
        let yMarks = Self.marks(to: max(ideal * mostWorkers, 1))
        let panel = Panel(left: 60, width: 360, mostX: mostWorkers, mostY: Double(yMarks.last ?? 1))
        var lines = panel.axes(
            title: "One group, handlers that wait \(report.wait) ms", x: "workers",
            xMarks: Array(Set(report.steps.map(\.workers))).sorted(), yMarks: yMarks)
        lines.append(
            panel.line(
                (panel.x(0), panel.y(0)), (panel.x(mostWorkers), panel.y(ideal * mostWorkers)), "#9ca3af",
                dashed: true))
        for (index, (ordering, steps)) in byOrdering.enumerated() {
            let colour = Self.colours[ordering] ?? "#111827"
            lines.append(
                panel.curve(steps.map { (Double($0.workers), Double($0.eventsPerSecond)) }, colour))
            for step in steps {
                let (x, y) = (panel.x(Double(step.workers)), panel.y(Double(step.eventsPerSecond)))
                lines.append("<circle cx=\"\(Int(x))\" cy=\"\(Int(y))\" r=\"3\" fill=\"\(colour)\"/>")
            }
            let last = steps.last?.ratio ?? 0
            lines.append(
                panel.text(
                    panel.left + 12, panel.top + 18 + Double(index) * 18,
                    "\(ordering): \(Int(mostWorkers)) workers are \(Double(Int(last * 100)) / 100) times one",
                    "start", colour))
        }
        let place = panel.top + 18 + Double(byOrdering.count) * 18
        return lines + [panel.text(panel.left + 12, place, "dashed: ideal", "start", "#6b7280")]
    }

    private func churn(_ churn: ScaleReport.Churn) -> [String] {
        let yMarks = Self.marks(to: Double(churn.seconds.map(\.events).max() ?? 1))
        let panel = Panel(
            left: 540, width: 370, mostX: Double(max(1, churn.seconds.count)),
            mostY: Double(yMarks.last ?? 1))
        let step = max(1, churn.seconds.count / 6)
        var lines = panel.axes(
            title:
                "\(churn.added) added, \(churn.drained) drained, \(churn.killed) killed (\(churn.ordering))",
            x: "seconds", xMarks: Array(stride(from: 0, through: churn.seconds.count, by: step)),
            yMarks: yMarks)
        // The workers as bars behind, in tenths of the height.
        for (second, one) in churn.seconds.enumerated() {
            let height = Double(one.workers) / 10 * panel.height
            lines.append(
                "<rect x=\"\(Int(panel.x(Double(second))))\" y=\"\(Int(panel.top + panel.height - height))\" width=\"\(max(1, Int(panel.width / panel.mostX) - 1))\" height=\"\(Int(height))\" fill=\"#dbeafe\"/>"
            )
        }
        let points = churn.seconds.enumerated().map { (Double($0.offset) + 0.5, Double($0.element.events)) }
        lines.append(panel.curve(points, Self.colours[churn.ordering] ?? "#111827"))
        let workers = churn.seconds.map(\.workers)
        lines.append(
            panel.text(
                panel.left + panel.width, panel.top - 12,
                "bars: workers (\(workers.min() ?? 0) to \(workers.max() ?? 0)); \(churn.lost) lost, \(churn.doubled) doubled",
                "end", "#374151"))
        return lines
    }
}
