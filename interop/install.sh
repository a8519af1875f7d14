#!/bin/sh
# What `make interop` needs beyond Python: kcat, a Java 17+ compiler, Maven, Node.js 18+ with the
# packages of interop/live, and Chromium.
# Does nothing when they are there; installs them with apt as root; else says what is missing.
set -eu

java_is_recent() {
    command -v javac >/dev/null 2>&1 || return 1
    major=$(javac -version 2>&1 | sed -E 's/^javac ([0-9]+).*/\1/')
    [ "${major:-0}" -ge 17 ] 2>/dev/null
}

node_is_recent() {
    command -v node >/dev/null 2>&1 || return 1
    major=$(node --version | sed -E 's/^v([0-9]+).*/\1/')
    [ "${major:-0}" -ge 18 ] 2>/dev/null
}

missing=""
command -v kcat >/dev/null 2>&1 || missing="$missing kcat"
java_is_recent || missing="$missing default-jdk-headless"
command -v mvn >/dev/null 2>&1 || missing="$missing maven"
node_is_recent || missing="$missing nodejs"
command -v npm >/dev/null 2>&1 || missing="$missing npm"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium fonts-dejavu-core"

if [ -n "$missing" ]; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "interop: please install$missing (needs root and apt: apt-get install -y$missing)" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of package names
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
    java_is_recent || { echo "interop: a Java 17+ compiler is needed, found $(javac -version 2>&1)" >&2; exit 1; }
    node_is_recent || { echo "interop: Node.js 18+ is needed, found $(node --version)" >&2; exit 1; }
fi

# The lock file says exactly which; esbuild and tsc come as binaries inside their packages.
npm ci --prefix "$(dirname "$0")/live" --ignore-scripts --no-audit --no-fund --silent
