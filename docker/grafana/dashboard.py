#!/usr/bin/env python3
"""Writes the Grafana dashboard: dashboard.py > freshet.json, or dashboard.py --check freshet.json, which exits 1 unless it is that.

The panels are the table ROWS below; everything else follows from it. `make dashboard` runs this.
"""
import json
import sys

GROUP = 'topic=~"$topic", group=~"$group"'
TOPIC = 'topic=~"$topic"'
SERVICE = 'service=~"$service"'


def each(metric):
    """A group's figure: every replica and the exporter say the same."""
    return f"max by (topic, group) ({metric}{{{GROUP}}})"


def rate(metric, by="topic, group", where=GROUP):
    return f"sum by ({by}) (rate({metric}{{{where}}}[$__rate_interval]))"


def quantile(q, metric, by="topic, group", where=GROUP):
    return f"histogram_quantile({q}, {rate(metric + '_bucket', by + ', le', where)})"


def spread(metric, by="topic, group", where=GROUP, name="{{topic}} {{group}}"):
    return [(f"{quantile(q, metric, by, where)}", f"{name} p{int(q * 100)}") for q in (0.5, 0.99)]


NAME = "{{topic}} {{group}}"
PROCESS = "{{service}} {{instance}}"

# A row: its title, and panels of (kind, title, what it tells, unit, [(query, name)]).
ROWS = [
    ("Now", [
        ("stat", "Published", "Events that the server confirmed.", "ops",
         [(f"sum(rate(freshet_published_total{{{TOPIC}}}[$__rate_interval]))", "")]),
        ("stat", "Settled", "Deliveries that ended, however they ended.", "ops",
         [(f"sum(rate(freshet_settled_total{{{GROUP}}}[$__rate_interval]))", "")]),
        ("stat", "Backlog", "Not yet delivered, pending, due for a retry, waiting for redelivery; of all groups.", "short",
         [(f"sum({each('freshet_group_backlog')})", "")]),
        ("stat", "Oldest waiting", "The age of the oldest event that has not been delivered.", "s",
         [(f"max({each('freshet_group_oldest_waiting_seconds')})", "")]),
        ("stat", "Dead letters", "Given up, and there until somebody decides.", "short",
         [(f"sum({each('freshet_group_dead')})", "")]),
        ("stat", "Not ready", "Processes without Redis, database or groups, or draining.", "short",
         [(f"count(freshet_ready{{{SERVICE}}} == 0) or vector(0)", "")]),
        ("table", "Groups", "One line for each group of each topic.", "short", [
            (each("freshet_group_backlog"), "backlog"),
            (each("freshet_group_oldest_waiting_seconds"), "oldest waiting (s)"),
            (each("freshet_group_lag_known"), "lag known"),
            (each("freshet_group_pending"), "pending"),
            (each("freshet_group_delayed"), "delayed"),
            (each("freshet_group_redelivery"), "redelivery"),
            (each("freshet_group_dead"), "dead"),
            (each("freshet_group_invalid"), "invalid"),
            (each("freshet_group_consumers"), "consumers"),
        ]),
    ]),
    ("Keeping up", [
        ("graph", "In and out", "Published to the topic, and settled by each group. A group that keeps up settles what is published.", "ops",
         [(rate("freshet_published_total", "topic", TOPIC), "{{topic}} published"),
          (rate("freshet_settled_total"), NAME + " settled")]),
        ("graph", "Backlog", "What KEDA scales on.", "short", [(each("freshet_group_backlog"), NAME)]),
        ("graph", "Lag, known or counted", "Entries of the log that the group was never given. Where `lag known` is 0 the server cannot say, and it is counted by us.", "short",
         [(each("freshet_group_lag"), NAME)]),
        ("graph", "Oldest", "Age tells a stall that depth hides.", "s",
         [(each("freshet_group_oldest_waiting_seconds"), NAME + " waiting"),
          (each("freshet_group_oldest_pending_seconds"), NAME + " pending")]),
        ("graph", "Published to settled", "From the entry's time to its acknowledgement.", "s", spread("freshet_publish_to_settled_seconds")),
        ("graph", "Handler time", "One delivery in its handler, its transaction included.", "s", spread("freshet_handler_seconds")),
        ("graph", "Consumers and owners", "Consumers of the group; with an order, those that own partitions.", "short",
         [(each("freshet_group_consumers"), NAME + " consumers"), (each("freshet_group_lease_owners"), NAME + " owners"),
          (each("freshet_group_partitions"), NAME + " partitions")]),
        ("graph", "In handlers", "Deliveries that are being handled now, in all processes.", "short",
         [(f"sum by (topic, group) (freshet_in_progress{{{GROUP}}})", NAME)]),
    ]),
    ("Endings and failures", [
        ("graph", "Settled by outcome", "acknowledged, scheduled (a retry), dead, invalid, released (handed back).", "ops",
         [(rate("freshet_settled_total", "topic, group, outcome"), NAME + " {{outcome}}")]),
        ("graph", "Delivered by way", "From the log, again (redelivery), or taken over from a consumer that died (claim).", "ops",
         [(rate("freshet_delivered_total", "topic, group, from"), NAME + " {{from}}")]),
        ("graph", "Retries and claims", "Deliveries that failed and are tried again; entries taken over.", "ops",
         [(rate("freshet_retries_total"), NAME + " retries"), (rate("freshet_claims_total"), NAME + " claims")]),
        ("graph", "Set aside", "Retries that wait for their time, dead letters, what could not be read.", "short",
         [(each("freshet_group_delayed"), NAME + " delayed"), (each("freshet_group_dead"), NAME + " dead"),
          (each("freshet_group_invalid"), NAME + " invalid")]),
        ("graph", "Lost, fenced, ignored", "Deleted before they were settled; refused, because another consumer had taken them; of no handled type.", "ops",
         [(rate("freshet_lost_total"), NAME + " lost"), (rate("freshet_fenced_total"), NAME + " fenced"),
          (rate("freshet_ignored_total"), NAME + " ignored")]),
        ("graph", "Oldest dead letter", "", "s", [(each("freshet_group_oldest_dead_seconds"), NAME)]),
        ("graph", "Circuit breakers", "1 while a process only tries single events.", "short", [(each("freshet_breaker_open"), NAME)]),
    ]),
    ("Replays", [
        ("graph", "Running", "Replays that run now.", "short", [(each("freshet_replay_running"), NAME)]),
        ("graph", "Left to replay", "", "short", [(each("freshet_replay_remaining"), NAME)]),
        ("graph", "Replayed", "Events that the running replay has put.", "short", [(each("freshet_replay_events"), NAME)]),
    ]),
    ("Topics and outboxes", [
        ("graph", "Entries in the log", "", "short", [(f"max by (topic) (freshet_topic_entries{{{TOPIC}}})", "{{topic}}")]),
        ("graph", "Cut off by retention", "", "ops", [(rate("freshet_retention_trimmed_total", "topic", TOPIC), "{{topic}}")]),
        ("graph", "Retention held back", "Groups that still need more than the topic would keep.", "short",
         [(f"max by (topic) (freshet_retention_held_back{{{TOPIC}}})", "{{topic}}")]),
        ("graph", "Outbox depth", "Events in the database that are not yet published.", "short",
         [(f"max by (service) (freshet_outbox_events{{{SERVICE}}})", "{{service}}")]),
        ("graph", "Oldest in the outbox", "", "s", [(f"max by (service) (freshet_outbox_oldest_seconds{{{SERVICE}}})", "{{service}}")]),
    ]),
    ("Processes", [
        ("graph", "Ready", "1 takes events, 0 does not.", "short", [(f"freshet_ready{{{SERVICE}}}", PROCESS)]),
        ("graph", "CPU", "Cores.", "short", [(f"rate(process_cpu_seconds_total{{{SERVICE}}}[$__rate_interval])", PROCESS)]),
        ("graph", "Memory", "Resident.", "bytes", [(f"process_resident_memory_bytes{{{SERVICE}}}", PROCESS)]),
        ("graph", "Partitions owned", "With an order: which process has how many.", "short",
         [(f"freshet_partitions_owned{{{GROUP}, {SERVICE}}}", PROCESS + " {{topic}}")]),
        ("graph", "Running for", "", "s", [(f"time() - freshet_start_time_seconds{{{SERVICE}}}", PROCESS)]),
        ("graph", "Looks that failed", "What these would have shown is missing meanwhile.", "ops",
         [(rate("freshet_poll_failures_total", "service, what", SERVICE), "{{service}} {{what}}")]),
        ("graph", "Versions", "Processes of each version.", "short", [("count by (service, version) (freshet_build_info)", "{{service}} {{version}}")]),
    ]),
    ("Redis, as its clients see it", [
        ("graph", "Commands", "", "ops", [(rate("freshet_redis_commands_total", "service", SERVICE), "{{service}}")]),
        ("graph", "Request time", "Without reads that wait.", "s", spread("freshet_redis_request_seconds", "service", SERVICE, "{{service}}")),
        ("graph", "In flight", "", "short", [(f"sum by (service) (freshet_redis_commands_in_flight{{{SERVICE}}})", "{{service}}")]),
        ("graph", "Errors", "", "ops", [(rate("freshet_redis_errors_total", "service, code", SERVICE), "{{service}} {{code}}")]),
        ("graph", "Connections", "Open now.", "short", [(f"sum by (service) (freshet_redis_connections{{{SERVICE}}})", "{{service}}")]),
        ("graph", "Connections made", "", "ops", [(rate("freshet_redis_connects_total", "service", SERVICE), "{{service}}")]),
        ("graph", "Traffic", "", "Bps", [(rate("freshet_redis_sent_bytes_total", "service", SERVICE), "{{service}} sent"),
                                         (rate("freshet_redis_received_bytes_total", "service", SERVICE), "{{service}} received")]),
    ]),
]

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
SIZE = {"stat": (4, 4), "graph": (12, 8), "table": (24, 9)}


def panel(kind, title, tells, unit, queries, number, place):
    made = {
        "id": number, "type": {"graph": "timeseries"}.get(kind, kind), "title": title, "description": tells,
        "datasource": SOURCE, "gridPos": place,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [{"refId": chr(65 + i), "datasource": SOURCE, "expr": query, "legendFormat": name or "__auto"}
                    for i, (query, name) in enumerate(queries)],
    }
    if kind == "stat":
        made["options"] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area"}
    elif kind == "graph":
        made["options"] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
        made["fieldConfig"]["defaults"]["custom"] = {"fillOpacity": 8, "showPoints": "never"}
    else:
        for target in made["targets"]:
            target |= {"format": "table", "instant": True}
        names = {f"Value #{chr(65 + i)}": name for i, (_, name) in enumerate(queries)}
        made["transformations"] = [
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": names}},
        ]
    return made


def panels():
    made, y = [], 0
    for title, contents in ROWS:
        made.append({"id": len(made) + 1, "type": "row", "title": title, "collapsed": False, "panels": [],
                     "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}})
        x, y, height = 0, y + 1, 0
        for kind, *rest in contents:
            w, h = SIZE[kind]
            if x + w > 24:
                x, y, height = 0, y + height, 0
            made.append(panel(kind, *rest, number=len(made) + 1, place={"x": x, "y": y, "w": w, "h": h}))
            x, height = x + w, max(height, h)
        y += height
    return made


def variable(name, label, query):
    return {"name": name, "label": label, "type": "query", "datasource": SOURCE, "query": query, "refresh": 2, "sort": 1,
            "multi": True, "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}}


DASHBOARD = {
    "uid": "freshet", "title": "Freshet", "tags": ["freshet"], "schemaVersion": 39, "version": 1, "editable": True,
    "timezone": "browser", "time": {"from": "now-1h", "to": "now"}, "refresh": "10s", "graphTooltip": 1,
    "annotations": {"list": [{
        "name": "Alerts", "enable": True, "iconColor": "red", "datasource": SOURCE, "titleFormat": "{{alertname}}",
        "textFormat": "{{topic}} {{group}} {{service}}",
        "expr": 'ALERTS{alertstate="firing", alertname=~"WorkerAbsent|GroupStalled|LagGrowing|OutboxBacklog|DeadLettersGrowing|NotReady"}',
    }]},
    "templating": {"list": [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        variable("topic", "Topic", "label_values(freshet_group_backlog, topic)"),
        variable("group", "Group", "label_values(freshet_group_backlog, group)"),
        variable("service", "Service", "label_values(freshet_ready, service)"),
    ]},
    "panels": panels(),
}

text = json.dumps(DASHBOARD, indent=1, ensure_ascii=False) + "\n"
if len(sys.argv) == 3 and sys.argv[1] == "--check":
    with open(sys.argv[2], encoding="utf-8") as file:
        if file.read() != text:
            sys.exit(f"{sys.argv[2]} is not what {sys.argv[0]} writes: run `make dashboard`")
elif len(sys.argv) == 1:
    sys.stdout.write(text)
else:
    sys.exit(__doc__)
