internal import Freshet
internal import FreshetReplay
internal import Metrics

/// What an archiver that goes on as a service says of its work: docs/metrics.md.
struct ArchiveMetrics {
    private let lastPass = Gauge(label: "freshet_archive_last_pass_seconds")

    func archived(_ report: ArchiveReport) {
        let labels = [("topic", report.topic.rawValue)]
        Counter(label: "freshet_archived_total", dimensions: labels).increment(by: report.archived)
        Counter(label: "freshet_archive_missing_total", dimensions: labels).increment(by: report.missing)
    }

    func isFailing(_ isFailing: Bool, _ topic: TopicName) {
        Gauge(label: "freshet_archive_failing", dimensions: [("topic", topic.rawValue)])
            .record(isFailing ? 1 : 0)
    }

    func passed() { lastPass.record(Double(Timestamp.now().milliseconds) / 1000) }
}
