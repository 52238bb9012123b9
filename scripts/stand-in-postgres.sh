#!/bin/sh
# The entry point of the PostgreSQL image that container-bases.sh makes where no registry gives one: as much of the published image's
# as docker/compose.scale.yaml uses.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb -D "$PGDATA" -U postgres --auth-local=trust --auth-host=scram-sha-256 --pwfile="$POSTGRES_PASSWORD_FILE" >/dev/null
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf"
    pg_ctl -D "$PGDATA" -o "-c listen_addresses=" -w start >/dev/null
    [ -z "${POSTGRES_DB:-}" ] || createdb -U postgres "$POSTGRES_DB"
    for script in /docker-entrypoint-initdb.d/*.sh; do [ ! -e "$script" ] || sh "$script"; done
    pg_ctl -D "$PGDATA" -m fast -w stop >/dev/null
fi
exec "$@"
