#!/bin/sh
# start.sh primary|replica|sentinel NAME: a Redis server or sentinel of compose.scale.yaml, known to the others as NAME.
#
# Its configuration is written once, into its own volume: after a failover sentinels have the servers rewrite it, and who was the
# primary must not come back as one.
set -eu
role=$1 name=$2
[ -e "/data/$role.conf" ] || case $role in
sentinel)
    { cat /run/secrets/sentinel.conf; echo "sentinel announce-ip $name"; echo "dir /data"; } > /data/sentinel.conf
    ;;
*)
    {
        cat /run/secrets/redis.conf
        echo "dir /data"
        echo "aclfile /run/secrets/users.acl"
        echo "replica-announce-ip $name"
        echo "appendonly yes"
        echo "maxmemory-policy noeviction"
        [ "$role" = primary ] || echo "replicaof redis 6379"
    } > "/data/$role.conf"
    ;;
esac
[ "$role" != sentinel ] || exec redis-sentinel /data/sentinel.conf
exec redis-server "/data/$role.conf"
