#!/usr/bin/env bash
# container-bases.sh FOLDER: podman, and the images that docker/ builds on and runs beside its own, on Debian as root.
#
# What no registry gives is made here, under the registry's name: Debian by debootstrap from the mirror of /etc/apt, and on it the
# server that Debian packages. Such a Swift image has no toolchain: the installed one is mounted while building
# (FOLDER/build-options says how, and brings along where git finds packages when that is a folder of this machine).
# Writes FOLDER/containers.conf, for where there is no systemd: export CONTAINERS_CONF=FOLDER/containers.conf.
set -Eeuo pipefail
trap 'echo "container-bases.sh: line $LINENO failed" >&2' ERR
[ $# = 1 ] || { sed -n '2s/^# //p' "$0" >&2; exit 64; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
say() { printf '%s\n' "$*" >&2; }

packages=(podman buildah runc catatonit netavark aardvark-dns iptables uidmap)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    say "installing ${missing[*]}"
    apt-get -q update >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}" >/dev/null 2>"$folder/apt.log" ||
        { tail -n 5 "$folder/apt.log" >&2; exit 1; }
fi

if [ ! -d /run/systemd/system ]; then
    cat >"$folder/containers.conf" <<-'END'
	[containers]
	default_ulimits = ["nofile=10000:10000", "nproc=10000:10000"]
	[engine]
	runtime = "runc"
	cgroup_manager = "cgroupfs"
	events_logger = "file"
	[network]
	network_backend = "netavark"
	END
    export CONTAINERS_CONF=$folder/containers.conf
else
    : >"$folder/containers.conf"
fi
export BUILDAH_FORMAT=docker

# Whether an image is here or a registry gives it. One that does not answer is asked once.
reachable=yes
have() {
    podman image exists "docker.io/$1" && return
    [ "$reachable" = yes ] || return 1
    timeout 300 podman pull -q "docker.io/$1" >/dev/null 2>"$folder/pull.log" && return
    say "no registry gives $1 ($(tail -n 1 "$folder/pull.log" | grep -oE '[^:]*$' | cut -c 1-80))"
    reachable=no
    return 1
}

# Where apt gets Debian from. One of the two places is usual, and not both.
mirror() {
    { cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null || true; } | awk '
        !uri && /^URIs:/ { uri = $2 }
        !uri && /^deb / { for (i = 2; i <= NF && !uri; i++) if ($i ~ /^[a-z+]+:\/\//) uri = $i }
        END { print uri }'
}

debian() {
    local root=$folder/rootfs uri
    uri=$(mirror)
    [ -n "$uri" ] || { say "no Debian mirror is known"; exit 1; }
    dpkg-query -W debootstrap >/dev/null 2>&1 || DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends debootstrap >/dev/null
    rm -rf "$root"
    say "making debian:bookworm-slim"
    debootstrap --variant=minbase bookworm "$root" "$uri" >"$folder/debootstrap.log" || { tail -n 5 "$folder/debootstrap.log" >&2; exit 1; }
    # As the published image is slimmed.
    printf 'path-exclude /usr/share/%s/*\n' doc groff info lintian linda locale man >"$root/etc/dpkg/dpkg.cfg.d/docker"
    echo 'path-include /usr/share/doc/*/copyright' >>"$root/etc/dpkg/dpkg.cfg.d/docker"
    printf "deb $uri %s main\n" bookworm bookworm-updates >"$root/etc/apt/sources.list"
    printf "deb ${uri%/}-security bookworm-security main\n" >>"$root/etc/apt/sources.list"
    rm -rf "$root"/usr/share/{man,info,locale,groff,lintian,linda}/* "$root"/var/cache/apt/*.bin \
        "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/var/log/*.log
    find "$root/usr/share/doc" -mindepth 2 -type f -not -name copyright -delete
    tar -C "$root" -c . | podman import -q --change 'CMD ["bash"]' --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        - docker.io/library/debian:bookworm-slim >/dev/null
    rm -rf "$root"
}

# on_debian IMAGE PACKAGE… : an image of Debian's packages; the lines of its Dockerfile that follow are on standard input.
on_debian() {
    local image=$1 context
    shift
    say "making $image of Debian's packages"
    context=$(mktemp -d "$folder/context.XXXX")
    cp "$(dirname "$0")"/stand-in-*.sh "$context/"
    {
        echo 'FROM docker.io/library/debian:bookworm-slim'
        echo "RUN apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $* && rm -rf /var/lib/apt/lists/*"
        cat
    } >"$context/Dockerfile"
    podman build -q --network=host -t "docker.io/$image" "$context" >/dev/null 2>"$folder/build.log" ||
        { tail -n 5 "$folder/build.log" >&2; exit 1; }
    rm -rf "$context"
}

have library/debian:bookworm-slim || debian
have library/redis:7-bookworm || on_debian library/redis:7-bookworm redis-server redis-sentinel <<'END'
RUN install -d -o redis -g redis /data
VOLUME /data
WORKDIR /data
USER redis
CMD ["redis-server"]
END
have library/postgres:16-bookworm || on_debian library/postgres:16-bookworm postgresql postgresql-client <<'END'
COPY stand-in-postgres.sh /usr/local/bin/docker-entrypoint.sh
ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/data
RUN install -d -o postgres -g postgres /var/lib/postgresql/data /docker-entrypoint-initdb.d
VOLUME /var/lib/postgresql/data
USER postgres
ENTRYPOINT ["sh", "/usr/local/bin/docker-entrypoint.sh"]
CMD ["postgres"]
END
have prom/prometheus:v2.53.4 || on_debian prom/prometheus:v2.53.4 prometheus <<'END'
RUN install -d -o nobody -g nogroup /prometheus
VOLUME /prometheus
USER nobody
ENTRYPOINT ["prometheus"]
END

options=$folder/build-options
if have library/swift:6.3-bookworm; then
    label=$(podman image inspect --format '{{ index .Config.Labels "freshet.toolchain" }}' docker.io/library/swift:6.3-bookworm 2>/dev/null || true)
else
    on_debian library/swift:6.3-bookworm binutils ca-certificates git libc6-dev libcurl4-openssl-dev libedit2 libgcc-12-dev libncurses6 \
        libsqlite3-0 libstdc++-12-dev libxml2-dev libz3-dev pkg-config tzdata zlib1g-dev <<-'END'
	LABEL freshet.toolchain=mounted
	ENV PATH=/toolchain/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	END
    label=mounted
fi
: >"$options"
if [ "$label" = mounted ]; then
    swift=$(realpath "$(command -v swift)") || { say "no registry gives Swift's image, and none is installed to be mounted"; exit 1; }
    printf '%s\n' -v "$(dirname "$(dirname "$swift")"):/toolchain:ro" >>"$options"
    { git config --get-regexp '^url\..*\.insteadof$' 2>/dev/null || true; } | sed -n 's/^url\.\(\/.*\)\.insteadof .*/\1/p' | sort -u | while read -r packages; do
        printf '%s\n' -v "${packages%/}:${packages%/}:ro" >>"$options"
    done
    [ ! -s "$options" ] || [ ! -e /etc/gitconfig ] || printf '%s\n' -v /etc/gitconfig:/etc/gitconfig:ro >>"$options"
fi
