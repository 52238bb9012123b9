extension MetricDescription {
    /// Every metric of Freshet's. `docs/metrics.md` says of the same ones what to do about them.
    static let all = events + effects + process + redis + groups + topics + replays + archives

    private static let ofGroup = ["topic", "group"]

    private static let events = [
        MetricDescription(
            "freshet_published_total", .counter, ["topic"], .process, "Events that the server confirmed."),
        MetricDescription(
            "freshet_delivered_total", .counter, ofGroup + ["from"], .process,
            "Entries taken in hand, from the log, from the group's redelivery stream, or claimed from a silent consumer."
        ),
        MetricDescription(
            "freshet_settled_total", .counter, ofGroup + ["outcome"], .process,
            "Deliveries by how they ended."),
        MetricDescription(
            "freshet_ignored_total", .counter, ofGroup, .process,
            "Acknowledged, because the group has no handler for the type."),
        MetricDescription(
            "freshet_fenced_total", .counter, ofGroup, .process,
            "Settlements refused, because another consumer had taken the entry."),
        MetricDescription(
            "freshet_lost_total", .counter, ofGroup, .process, "Entries deleted before they were settled."),
        MetricDescription(
            "freshet_handler_seconds", .histogram, ofGroup, .process,
            "What handlers took, one observation a call: a batch is one call, and so is each try in place.",
            MetricBuckets.seconds),
        MetricDescription(
            "freshet_publish_to_settled_seconds", .histogram, ofGroup, .process,
            "From an entry's time in the log, by the server's clock, to its acknowledgement, by this machine's.",
            MetricBuckets.waits),
        MetricDescription(
            "freshet_retries_total", .counter, ofGroup, .process,
            "Failed handler calls that are to be repeated: in place, or after a pause."),
        MetricDescription(
            "freshet_claims_total", .counter, ofGroup, .process,
            "Entries taken over from a consumer that showed no sign of life or gave up a partition."),
        MetricDescription(
            "freshet_recovered_total", .counter, ofGroup, .process,
            "Entries that a consumer took up again as its own after a lost connection or a comparison with the server."
        ),
        MetricDescription(
            "freshet_in_progress", .gauge, ofGroup, .process, "Deliveries whose handler runs now."),
        MetricDescription(
            "freshet_partitions_owned", .gauge, ofGroup, .process,
            "Partitions that this process owns, where an order is kept."),
        MetricDescription(
            "freshet_breaker_open", .gauge, ofGroup, .process,
            "1 while a subscription pauses because all its handlers fail."),
        MetricDescription(
            "freshet_retention_trimmed_total", .counter, ["topic"], .process,
            "Entries that the topic's retention cut off."),
        MetricDescription(
            "freshet_retention_held_back", .gauge, ["topic"], .process,
            "Groups that still need more than the topic's retention would keep."),
    ]

    private static let effects = [
        MetricDescription(
            "freshet_outbox_events", .gauge, [], .process, "Events in the outbox that are not published yet."),
        MetricDescription(
            "freshet_outbox_oldest_seconds", .gauge, [], .process,
            "Age of the oldest of them, by its event's time; 0 when there is none."),
    ]

    private static let archives = [
        MetricDescription(
            "freshet_archived_total", .counter, ["topic"], .process, "Events that the archiver copied."),
        MetricDescription(
            "freshet_archive_missing_total", .counter, ["topic"], .process,
            "Events that were gone from the log before they could be archived."),
        MetricDescription(
            "freshet_archive_failing", .gauge, ["topic"], .process,
            "1 while the topic cannot be archived, else 0."),
        MetricDescription(
            "freshet_archive_last_pass_seconds", .gauge, [], .process,
            "When all topics were last looked at, in seconds since 1970."),
    ]

    private static let process = [
        MetricDescription(
            "freshet_ready", .gauge, [], .process, "1 while the process takes up work, else 0."),
        MetricDescription(
            "freshet_build_info", .gauge, ["version", "service"], .process, "1, with what runs as labels."),
        MetricDescription(
            "freshet_start_time_seconds", .gauge, [], .process,
            "When the process started, in seconds since 1970."),
        MetricDescription(
            "process_cpu_seconds_total", .counter, [], .process,
            "CPU time of the process, user and system, in seconds."),
        MetricDescription(
            "process_resident_memory_bytes", .gauge, [], .process, "Memory that the process has in use."),
        MetricDescription(
            "freshet_trace_spans_total", .counter, ["outcome"], .process,
            "Spans that a collector took, or that were dropped because none did in time."),
        MetricDescription(
            "freshet_poll_failures_total", .counter, ["what"], .process,
            "Looks at groups, topics, replays or the outbox that failed: their gauges are gone until one succeeds."
        ),
    ]

    private static let redis = [
        MetricDescription(
            "freshet_redis_commands_total", .counter, ["server"], .process, "Commands sent."),
        MetricDescription(
            "freshet_redis_sent_bytes_total", .counter, ["server"], .process, "Bytes sent."),
        MetricDescription(
            "freshet_redis_received_bytes_total", .counter, ["server"], .process, "Bytes received."),
        MetricDescription(
            "freshet_redis_connects_total", .counter, ["server"], .process,
            "Connections made, the first of each included."),
        MetricDescription(
            "freshet_redis_errors_total", .counter, ["server", "code"], .process,
            "Failed commands, by the server's first word or our own kind."),
        MetricDescription(
            "freshet_redis_commands_in_flight", .gauge, ["server"], .process,
            "Commands sent and not answered yet."),
        MetricDescription(
            "freshet_redis_request_seconds", .histogram, ["server"], .process,
            "From a request's submission to its replies, waiting included.", MetricBuckets.requests),
        MetricDescription(
            "freshet_redis_connections", .gauge, ["server"], .process, "Open connections."),
    ]

    private static func group(_ name: String, _ help: String) -> MetricDescription {
        MetricDescription("freshet_group_\(name)", .gauge, ofGroup, .poll, help)
    }

    private static let groups = [
        group("lag", "Log entries never delivered to the group, as far as they are known or were counted."),
        group(
            "lag_known",
            "1 when the server knows freshet_group_lag, 0 when it was counted and may be a lower bound."),
        group("pending", "Entries that a consumer has taken and not settled."),
        group("delayed", "Retries that wait for their time."),
        group("redelivery", "Retries and replayed entries that are due and that no consumer has taken yet."),
        group("dead", "Dead letters."),
        group("invalid", "Entries that could not be decoded."),
        group("backlog", "All work that is due: lag, pending, delayed that is due, and redelivery."),
        group(
            "oldest_waiting_seconds",
            "Age of the oldest entry that no consumer has taken; 0 when there is none."),
        group(
            "oldest_pending_seconds",
            "Age of the oldest entry that is taken and not settled; 0 when there is none."),
        group("oldest_dead_seconds", "Since when the oldest dead letter is dead; 0 when there is none."),
        group("consumers", "Processes that the server knows in the group."),
        group("lease_owners", "Processes that own a partition of the group, where an order is kept."),
        group(
            "partitions",
            "Partitions of the topic: more processes than that share no work where an order is kept."),
    ]

    private static let topics = [
        MetricDescription("freshet_topic_entries", .gauge, ["topic"], .poll, "Entries in the topic's logs.")
    ]

    private static let replays = [
        MetricDescription(
            "freshet_replay_running", .gauge, ofGroup, .poll,
            "Replays to the group that are under way; absent when there is none."),
        MetricDescription(
            "freshet_replay_events", .gauge, ofGroup, .poll,
            "Events that these replays have put where they go."),
        MetricDescription(
            "freshet_replay_remaining", .gauge, ofGroup, .poll,
            "Events that these replays have still to put there."),
    ]
}
