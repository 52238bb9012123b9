extension Endpoints {
    /// Answers for this process: its health, and its metrics, unless the program has brought another backend of swift-metrics.
    /// Before there is a client, whose metrics would go nowhere.
    init(health: Health, service: String) {
        guard let metrics = PrometheusMetrics.bootstrap() else {
            self.init(health: health, metrics: nil)
            return
        }
        let process = ProcessMetrics(service: service, in: metrics)
        self.init(health: health) {
            process.isReady(await health.isWell(.ready))
            return metrics.text()
        }
    }
}
