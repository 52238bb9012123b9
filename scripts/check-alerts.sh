#!/usr/bin/env bash
# check-alerts.sh: each alert has its words and its runbook, a section in docs/alerts.md, and a test in which it fires and one in which
# it does not.
set -euo pipefail
cd "$(dirname "$0")/.."
rules=docker/prometheus/freshet.rules.yaml
tests=docker/prometheus/freshet.rules.test.yaml
wrong=0
alerts=$(sed -n 's/^ *- alert: //p' $rules)
for alert in $alerts; do
    body=$(awk -v name="$alert" '/^ *- (alert|record): / { on = $3 == name } on' $rules)
    for key in severity summary description "runbook_url: docs/alerts.md#${alert,,}"; do
        grep -qE "$key" <<<"$body" || { echo "$alert: no $key"; wrong=1; }
    done
    grep -qx "## $alert" docs/alerts.md || { echo "$alert: no section in docs/alerts.md"; wrong=1; }
    grep -qE "eval_time: [0-9a-z]+, alertname: $alert, exp_alerts: \[\]" $tests || { echo "$alert: no test in which it does not fire"; wrong=1; }
    grep -qE "^ +alertname: $alert\$" $tests || { echo "$alert: no test in which it fires"; wrong=1; }
done
for section in $(sed -n 's/^## //p' docs/alerts.md); do
    grep -qx "$section" <<<"$alerts" || { echo "docs/alerts.md: no alert is called $section"; wrong=1; }
done
exit $wrong
