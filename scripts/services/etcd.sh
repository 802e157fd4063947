#!/bin/sh
# etcd for tests and for trying `nokv serve --control etcd://…` on one machine.
#
#   etcd.sh install           installs Debian's etcd-server when no etcd is on the PATH (needs root)
#   etcd.sh run DIR PORT      serves clients on 127.0.0.1:PORT with its data in DIR, in the foreground
set -eu

case "${1:-}" in
install)
  if command -v etcd >/dev/null 2>&1; then exit 0; fi
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "etcd.sh: etcd is missing; install it with: apt-get install etcd-server" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  apt-get install -y -qq --no-install-recommends etcd-server >&2
  ;;
run)
  directory=${2:?etcd.sh run DIR PORT} port=${3:?etcd.sh run DIR PORT}
  # Port 0 of the peer URL lets the system choose: a single member talks to nobody.
  exec etcd --name nokv --data-dir "$directory" \
    --listen-client-urls "http://127.0.0.1:$port" --advertise-client-urls "http://127.0.0.1:$port" \
    --listen-peer-urls http://127.0.0.1:0 --logger zap --log-level error
  ;;
*)
  sed -n '2,5p' "$0" >&2
  exit 2
  ;;
esac
