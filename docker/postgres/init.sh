#!/bin/sh
# Run once, when the database is made: for each service a role with its own password and a schema that no other service can use.
set -eu
for service in order customer payment provider; do
    role=$service
    [ "$service" != provider ] || role=payment
    if [ "$role" = "$service" ]; then
        psql -v ON_ERROR_STOP=1 -U postgres -d shop -v role="$role" -v password="$(cat "/run/secrets/database-$role.password")" <<'SQL'
CREATE ROLE :"role" LOGIN PASSWORD :'password';
SQL
    fi
    psql -v ON_ERROR_STOP=1 -U postgres -d shop -v role="$role" -v schema="shop_$service" <<'SQL'
CREATE SCHEMA :"schema" AUTHORIZATION :"role";
SQL
done
# Who looks at all of them and changes nothing.
psql -v ON_ERROR_STOP=1 -U postgres -d shop -v password="$(cat /run/secrets/database-auditor.password)" <<'SQL'
CREATE ROLE auditor LOGIN PASSWORD :'password' IN ROLE pg_read_all_data;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
SQL
