#!/bin/sh
# make.sh [FOLDER]: passwords and a Redis ACL file from users.conf, as docker/compose.scale.yaml and docker/kubernetes mount them.
#
#   FOLDER/NAME.password     of each user, and of PostgreSQL's users under database-NAME; those that are there stay as they are
#   FOLDER/users.acl         for redis-server --aclfile; has only hashes of the passwords
#   FOLDER/redis.conf        the replica's and FOLDER/sentinel.conf the sentinels' way in
#   FOLDER/NAME.database-url where each service's records are, and the auditor's way to all of them
#
# FOLDER is docker/secrets, which neither git nor an image takes. The folder is closed to others; the files in it are readable, since
# the users in the containers are others than yours.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here/../secrets}
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

password() {
    [ -s "$1.password" ] || od -An -N 24 -t x1 /dev/urandom | tr -d ' \n' > "$1.password"
    cat "$1.password"
}

# "USER RIGHT RIGHT…", roles put in place of their names.
rights() {
    awk '
        { sub(/#.*/, "") } NF < 2 { next }
        NF > 2 { print FILENAME ":" FNR ": a line is USER RIGHT" > "/dev/stderr"; bad = 1; exit 65 }
        $2 ~ /^=/ && !(substr($2, 2) in has) { print FILENAME ":" FNR ": no " substr($2, 2) " above" > "/dev/stderr"; bad = 1; exit 65 }
        { if (!($1 in has)) order[++n] = $1; has[$1] = has[$1] " " ($2 ~ /^=/ ? substr(has[substr($2, 2)], 2) : $2) }
        END { if (!bad) for (i = 1; i <= n; i++) if (order[i] !~ /^\./) print order[i] has[order[i]] }
    ' "$1"
}

rights "$here/users.conf" > rights.tmp
{
    echo 'user default off'
    while read -r user rights; do
        # Nothing is allowed that is not named, also where the server's default for channels is another.
        case " $rights " in
        *' nopass '*) echo "user $user on resetchannels -@all $rights" ;;
        *) echo "user $user on resetchannels #$(password "$user" | sha256sum | cut -d ' ' -f 1) -@all $rights" ;;
        esac
    done < rights.tmp
} > users.acl
rm rights.tmp

printf 'masteruser replica\nmasterauth %s\n' "$(password replica)" > redis.conf
cat > sentinel.conf <<END
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel monitor shop redis 6379 2
sentinel auth-user shop sentinel
sentinel auth-pass shop $(password sentinel)
sentinel down-after-milliseconds shop 3000
sentinel failover-timeout shop 15000
END
url() { printf 'postgres://%s:%s@postgres/shop' "$1" "$(password "database-$1")"; }
# Each service has a schema of its own (docker/postgres/init.sh).
for service in order customer payment; do
    printf '%s?options=-csearch_path%%3Dshop_%s' "$(url "$service")" "$service" > "$service.database-url"
done
printf '%s?options=-csearch_path%%3Dshop_provider' "$(url payment)" > provider.database-url
# What `shop verify` finds in its data folder.
url auditor > auditor.database-url
password database-postgres > /dev/null
chmod 644 ./*
