import FreshetService
import FreshetTesting
import Metrics
import Testing

/// The text of metrics, and that no update is lost.
@Suite struct PrometheusTests {
    @Test func `all kinds are written as Prometheus' text format says, in a stable order`() {
        let metrics = PrometheusMetrics(describing: [
            MetricDescription("work_seconds", "Has a \\ and\na \"line\".", buckets: [0.005, 0.1, 1]),
            MetricDescription("sizes", "Sizes.", buckets: [1, 10]),
        ])
        withMetricsFactory(metrics) {
            let jobs = Counter(label: "jobs.done-total", dimensions: [("topic", "b\"\\\nc"), ("group", "ü")])
            jobs.increment(by: 3)
            jobs.increment(by: -1)
            Counter(label: "jobs.done-total", dimensions: [("group", "a"), ("topic", "a")]).increment()
            FloatingPointCounter(label: "9lives").increment(by: 0.25)
            let meter = Meter(label: "a:level")
            meter.increment(by: 2.5)
            meter.decrement(by: 1.0)
            Gauge(label: "temperature", dimensions: [("bad-label", "x")]).record(-1.5)
            Gauge(label: "unknown").record(Double.nan)
            Gauge(label: "most").record(Double.infinity)
            let work = Timer(label: "work_seconds", dimensions: [("le", "mine")])
            // A bucket's bound belongs to it.
            for milliseconds in [5, 5, 100, 999, 2000] { work.recordMilliseconds(milliseconds) }
            let sizes = Recorder(label: "sizes")
            for size in [0, 1, 2, 11] { sizes.record(size) }
        }
        #expect(
            metrics.text() == """
                # TYPE _9lives counter
                _9lives 0.25
                # TYPE a:level gauge
                a:level 1.5
                # TYPE jobs_done_total counter
                jobs_done_total{group="a",topic="a"} 1
                jobs_done_total{group="ü",topic="b\\"\\\\\\nc"} 3
                # TYPE most gauge
                most +Inf
                # HELP sizes Sizes.
                # TYPE sizes histogram
                sizes_bucket{le="1"} 2
                sizes_bucket{le="10"} 3
                sizes_bucket{le="+Inf"} 4
                sizes_sum 14
                sizes_count 4
                # TYPE temperature gauge
                temperature{bad_label="x"} -1.5
                # TYPE unknown gauge
                unknown NaN
                # HELP work_seconds Has a \\\\ and\\na "line".
                # TYPE work_seconds histogram
                work_seconds_bucket{exported_le="mine",le="0.005"} 2
                work_seconds_bucket{exported_le="mine",le="0.1"} 3
                work_seconds_bucket{exported_le="mine",le="1"} 4
                work_seconds_bucket{exported_le="mine",le="+Inf"} 5
                work_seconds_sum{exported_le="mine"} 3.109
                work_seconds_count{exported_le="mine"} 5

                """)
    }

    @Test func `one name and the same labels are one series, until it is destroyed`() {
        let metrics = PrometheusMetrics()
        withMetricsFactory(metrics) {
            let first = Counter(label: "n", dimensions: [("a", "1"), ("b", "2")])
            first.increment()
            Counter(label: "n", dimensions: [("b", "2"), ("a", "1")]).increment()
            #expect(metrics.text() == "# TYPE n counter\nn{a=\"1\",b=\"2\"} 2\n")
            first.destroy()
            #expect(metrics.text().isEmpty, "no type is left without a series")
            first.increment()
            Counter(label: "n", dimensions: [("a", "1"), ("b", "2")]).increment()
            #expect(metrics.text() == "# TYPE n counter\nn{a=\"1\",b=\"2\"} 1\n")
        }
    }

    @Test func `a name that was asked for as two kinds is exported as the first`() {
        let metrics = PrometheusMetrics()
        withMetricsFactory(metrics) {
            Counter(label: "n").increment(by: 2)
            Gauge(label: "n").record(7)
            FloatingPointCounter(label: "n").increment(by: 0.5)
        }
        #expect(
            metrics.text() == "# TYPE n counter\n# n was also asked for as a gauge, which is left out\nn 2\n")
    }

    @Test func `a sum of long waits does not overflow`() {
        let metrics = PrometheusMetrics()
        withMetricsFactory(metrics) {
            let timer = Timer(label: "waits")
            for _ in 0..<3 { timer.recordNanoseconds(Int64.max) }
        }
        #expect(metrics.text().contains("waits_sum 27670116110.56"))
    }

    @Test func `updates of many threads are all counted`() async {
        let metrics = PrometheusMetrics()
        await withMetricsFactory(metrics) {
            await withDiscardingTaskGroup { tasks in
                for _ in 0..<8 {
                    tasks.addTask {
                        let (counter, parts) = (Counter(label: "n"), FloatingPointCounter(label: "parts"))
                        let (level, timer) = (Meter(label: "level"), Timer(label: "seconds"))
                        for index in 0..<20_000 {
                            counter.increment()
                            parts.increment(by: 0.5)
                            level.increment()
                            if index.isMultiple(of: 2) { level.decrement() }
                            // Parts of a second that add up exactly: 1/512 and 1/256.
                            timer.recordNanoseconds(index.isMultiple(of: 2) ? 1_953_125 : 3_906_250)
                            if index.isMultiple(of: 5000) { _ = metrics.text() }
                        }
                    }
                }
            }
        }
        let text = metrics.text()
        for line in [
            "n 160000", "parts 80000", "level 80000", "seconds_count 160000", "seconds_sum 468.75",
            "seconds_bucket{le=\"0.0025\"} 80000", "seconds_bucket{le=\"0.005\"} 160000",
            "seconds_bucket{le=\"+Inf\"} 160000",
        ] {
            #expect(text.contains("\n\(line)") || text.hasPrefix(line), "\(line) in \(text)")
        }
    }
}
