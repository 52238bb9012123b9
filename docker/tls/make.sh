#!/bin/sh
# tls/make.sh [FOLDER [NAME…]]: a certificate authority of one's own, and of each server or client a key and a certificate for its
# host name NAME (default: redis and client): ca.pem, ca.key, NAME.pem, NAME.key. What is there stays. They hold for 90 days; remove
# one, or all, and run this again: the workers read them anew whenever they connect.
#
# FOLDER is docker/secrets/tls. Whoever has ca.key can make more: it is for this folder's owner alone, and no container mounts it. The others' keys can be read by the users in the containers, and the folder by its
# owner alone.
set -eu
folder=${1:-$(cd "$(dirname "$0")" && pwd)/../secrets/tls}
[ $# = 0 ] || shift
[ $# -gt 0 ] || set -- redis client
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 2>/dev/null > "$1.key"; }

if [ ! -s ca.pem ]; then
    (umask 077 && key ca)
    openssl req -x509 -key ca.key -out ca.pem -days 3650 -subj '/CN=Freshet demo CA' \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
fi
for name in "$@"; do
    [ ! -s "$name.pem" ] || continue
    key "$name"
    openssl req -new -key "$name.key" -subj "/CN=$name" -out request.tmp
    printf 'subjectAltName=DNS:%s,DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' "$name" > extensions.tmp
    openssl x509 -req -in request.tmp -CA ca.pem -CAkey ca.key -CAcreateserial -days 90 -extfile extensions.tmp -out "$name.pem" 2>/dev/null
    rm request.tmp extensions.tmp
done
