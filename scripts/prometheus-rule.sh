#!/bin/sh
# prometheus-rule.sh [--check]: writes the alert rules as the Prometheus operator wants them, or exits 1 unless they are written so.
set -eu
cd "$(dirname "$0")/../docker/prometheus"
written() {
    printf '%s\n' '# Written by `make dashboard` from freshet.rules.yaml.' 'apiVersion: monitoring.coreos.com/v1' 'kind: PrometheusRule' \
        'metadata:' '  name: freshet' 'spec:'
    sed -n '/^groups:/,$ s/^\(.\)/  \1/; /^  groups:/,$ p' freshet.rules.yaml
}
if [ "${1:-}" = --check ]; then
    written | cmp -s - prometheus-rule.yaml || { echo "docker/prometheus/prometheus-rule.yaml is not up to date: run \`make dashboard\`" >&2; exit 1; }
else
    written > prometheus-rule.yaml
fi
