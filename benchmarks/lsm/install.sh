#!/bin/sh
# RocksDB's own benchmark, which stands beside the state store. Without it its column stays empty.
set -eu
command -v db_bench >/dev/null 2>&1 && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "bench-lsm: no db_bench, so no figures of native RocksDB (Debian: rocksdb-tools)" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends rocksdb-tools >/dev/null
