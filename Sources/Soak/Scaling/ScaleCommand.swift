internal import ArgumentParser
internal import FoundationEssentials
internal import Freshet
internal import FreshetService
internal import FreshetTesting
internal import Workbench

/// `soak scale`
struct ScaleCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scale",
        abstract:
            "Measures one group with 1, 2, 4 and 8 workers, and then while workers come, leave and are killed.",
        discussion: """
            A handler waits, so that a worker's rate is bounded by its waiting and not by the processor: by default it handles one \
            event at a time, so 200 a second. While workers come and go, handlers write to the records: each event must have its effect, once. Last, the \
            shop's workers come and go under load, and 'shop verify' must find nothing (--orders 0 leaves it out).
            """)

    @Option(help: "What the comings and goings are made from; nothing makes one up.")
    var seed: UInt64?

    @Option(
        help: "The numbers of workers, rising, with commas.",
        transform: { text throws in
            let counts = text.split(separator: ",").compactMap { Int($0) }
            guard counts.count > 1, counts[0] > 0, zip(counts, counts.dropFirst()).allSatisfy({ $0 < $1 })
            else {
                throw ValidationError("'\(text)' is not a list of rising numbers")
            }
            return counts
        })
    var workers = [1, 2, 4, 8]

    @Option(help: "Seconds that each number of workers is measured.")
    var seconds = 10

    @Option(help: "Milliseconds that a handler waits.")
    var wait = 5

    @Option(help: "Events that a worker handles side by side.")
    var concurrency = 1

    @Option(help: "Seconds in which workers come and go, for each ordering.")
    var churn = 30

    @Option(help: "Where the records are while they do: sqlite or postgres.")
    var store = RecordsStore.sqlite

    @Option(help: "Orders of the shop, in its last part.")
    var orders = 6000

    @Option(help: "Draw the result as SVG into this file.")
    var svg: String?

    @OptionGroup var output: OutputOptions

    /// What the largest number of workers must reach, in shares of what would be ideal.
    private static let demanded = 0.75

    func run() async throws {
        let seed = seed ?? UInt64.random(in: 0 ... .max)
        StandardError.write("soak scale --seed \(seed) --store \(store.rawValue)")
        try await untilInterrupted { try await measure(seed) }
    }

    private func measure(_ seed: UInt64) async throws {
        var report = ScaleReport(seed: seed, wait: wait, concurrency: concurrency, store: store.rawValue)
        for ordering in [Ordering.any, .perKey] {
            report.steps += try await ScaleSteps(
                ordering: ordering, counts: workers, seconds: seconds, wait: wait, concurrency: concurrency
            ).measure()
        }
        for ordering in [Ordering.any, .perKey] where churn > 0 {
            report.churns.append(
                try await Churn(
                    ordering: ordering, seconds: churn, wait: wait, concurrency: concurrency, store: store
                ).run(seed))
        }
        if orders > 0 { report.shop = try await ShopChurn(orders: orders, store: store).run(seed) }
        if let svg {
            try ScalePlot(report).text.write(toFile: svg, atomically: false, encoding: .utf8)
        }
        try output.show(report, sentence: report.text)
        let broken = report.broken(demanding: Self.demanded)
        guard broken.isEmpty else { throw ToolError(.failed, broken.joined(separator: "; ")) }
    }
}
