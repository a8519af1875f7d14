#!/bin/sh
# The peers of the live benchmark: Nchan (nginx) and tsung from Debian, the engine of Centrifugo
# with Go, a bare loop in C. Built into the folder named as the first argument.
set -eu
out=$1
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"

missing=""
[ -e /usr/lib/nginx/modules/ngx_nchan_module.so ] || missing="nginx-core libnginx-mod-nchan"
if [ -n "$missing" ]; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "bench-live: please install $missing (needs root and apt)" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    # The package must not start a web server of its own on this machine
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of package names
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
[ "$out/bare" -nt "$here/peers/bare.c" ] || cc -O2 -Wall -o "$out/bare" "$here/peers/bare.c"
if command -v go >/dev/null 2>&1; then
    [ -x "$out/centrifuge" ] || (cd "$here/peers/centrifuge" && go build -o "$out/centrifuge" .)
    [ -x "$out/k6" ] || GOBIN="$out" go install go.k6.io/k6@v1.8.1
else
    echo "bench-live: no Go compiler: Centrifugo's engine and k6 are left out" >&2
fi
