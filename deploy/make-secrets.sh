#!/bin/sh
# Makes a random password for each server, once. Nobody else on this machine can look into the folder; inside of it the files are
# readable, because each container reads its own as a user of its own.
set -eu
cd "$(dirname "$0")/secrets"
chmod 0700 .
for name in redis_password elastic_password kibana_password; do
    [ -s "$name" ] && continue
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n' > "$name.new"
    chmod 0644 "$name.new"
    mv "$name.new" "$name"
    echo "made secrets/$name"
done
