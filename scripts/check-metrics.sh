#!/usr/bin/env bash
# check-metrics.sh [FILE…]: each metric that the files ask for (the alert rules, the dashboard and KEDA's triggers, unless told others)
# is one that docs/metrics.md names in code quotes. Prints those that are not, and exits 1.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- docker/prometheus/freshet.rules.yaml docker/grafana/freshet.json docker/kubernetes/components/keda*/*.yaml
documented=$(grep -oE '`[a-z_]+(\{[^`]*\})?`' docs/metrics.md | tr -d '`' | sed 's/{.*//' | sort -u)
# Not what a rule records (topic_group:…:max), nor a histogram's parts.
asked=$(sed -E 's/[a-z_]+:[a-z0-9_]+:[a-z0-9]+//g' "$@" | grep -oE '\b(freshet|process)_[a-z_]+' | sed -E 's/_(bucket|sum|count)$//' | sort -u)
unknown=$(comm -13 <(echo "$documented") <(echo "$asked"))
[ -z "$unknown" ] || { echo "not in docs/metrics.md:"; echo "$unknown"; exit 1; }
echo "$(wc -l <<<"$asked") metrics are asked for, all are documented"
