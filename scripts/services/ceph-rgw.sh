#!/usr/bin/env bash
# Ceph's S3 gateway from Debian's packages, as the second opinion on S3 in the long tests: one monitor, one store of objects in memory, one
# gateway, all on loopback. What it holds is gone when it ends.
#
#   ceph-rgw.sh install         make sure that the packages are there (needs root)
#   ceph-rgw.sh run DIR PORT    serve on 127.0.0.1:PORT in the foreground, its files in the empty DIR; prints "ready" when the bucket is
#                               there; ends, with all that it started, with whoever started it
#
# Bucket and keys come from S3_BUCKET, S3_ACCESS_KEY and S3_SECRET_KEY. Unix sockets are made in DIR: 80 characters at most.
set -euo pipefail

: "${S3_REGION:=us-east-1}" "${S3_BUCKET:=nokv-test}" "${S3_ACCESS_KEY:=nokvtest}" "${S3_SECRET_KEY:=nokvtestsecret}"
packages=(radosgw ceph-mon ceph-osd ceph-common)
programs=(radosgw radosgw-admin ceph-mon ceph-osd ceph ceph-authtool monmaptool)
memory_bytes=$((4 << 30))

. "$(dirname "${BASH_SOURCE[0]}")/unused-port.sh"

fail() {
  printf 'ceph-rgw.sh: %s\n' "$*" >&2
  exit 1
}

install_packages() {
  local program missing=
  for program in "${programs[@]}"; do command -v "$program" >/dev/null || missing=$program; done
  if [[ -z $missing ]]; then return; fi
  if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then fail "$missing is missing; install with: apt-get install ${packages[*]}"; fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2
}

# One copy of everything, nothing that watches for more machines, the keys that the daemons know each other by.
write_cluster() { # DIR
  local dir=$1 id address
  id=$(</proc/sys/kernel/random/uuid)
  address="v1:127.0.0.1:$(unused_port)"
  mkdir -p "$dir"/{monitor,store,gateway,run}
  cat >"$CEPH_CONF" <<CONF
[global]
fsid = $id
mon host = $address
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
auth allow insecure global id reclaim = true
keyring = $dir/keyring
run dir = $dir/run
crash dir = $dir/run
admin socket = $dir/run/\$name.asok
log file = $dir/\$name.log
mon data = $dir/monitor
osd data = $dir/store
osd objectstore = memstore
memstore device bytes = $memory_bytes
osd crush chooseleaf type = 0
osd crush update on start = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
mon allow pool size one = true
rgw data = $dir/gateway
rgw enable usage log = false
CONF
  ceph-authtool --create-keyring "$dir/keyring" --gen-key --name mon. --cap mon 'allow *'
  ceph-authtool "$dir/keyring" --gen-key --name client.admin --cap mon 'allow *' --cap osd 'allow *'
  ceph-authtool "$dir/keyring" --gen-key --name osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
  monmaptool --create --fsid "$id" --addv a "[$address]" "$dir/monmap"
  ceph-mon --mkfs --id a --monmap "$dir/monmap" --keyring "$dir/keyring"
}

# In the background, and no longer than we live.
daemon() {
  setpriv --pdeathsig KILL -- "$@" &
}

serve() { # DIR PORT
  local dir port=$2
  dir=$(realpath "$1")
  if ((${#dir} > 80)); then fail "$dir is too long for unix sockets"; fi
  export CEPH_CONF=$dir/ceph.conf
  trap 'jobs -p | xargs -r kill -KILL 2>/dev/null || true' EXIT
  trap 'exit 0' TERM INT
  {
    write_cluster "$dir"
    daemon ceph-mon --foreground --id a
    ceph --connect-timeout 60 osd create
    ceph osd crush add osd.0 1.0 host=here root=default
    ceph-osd --id 0 --mkfs --osd-uuid "$(</proc/sys/kernel/random/uuid)"
    daemon ceph-osd --foreground --id 0
    radosgw-admin user create --uid nokv --display-name nokv --access-key "$S3_ACCESS_KEY" --secret-key "$S3_SECRET_KEY"
    daemon radosgw --foreground --name client.admin --rgw-frontends "beast endpoint=127.0.0.1:$port tcp_nodelay=1"
  } >>"$dir/out" 2>&1 || fail "the cluster did not start: $(tail -5 "$dir/out")"
  make_bucket "$port" || fail "could not make the bucket $S3_BUCKET: $(tail -5 "$dir/out")"
  echo ready
  wait -n
  fail "a part of the cluster has ended: $(tail -5 "$dir/out")"
}

make_bucket() { # PORT
  for _ in {1..300}; do
    if curl -sf -o /dev/null --aws-sigv4 "aws:amz:$S3_REGION:s3" --user "$S3_ACCESS_KEY:$S3_SECRET_KEY" \
      -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' -X PUT "http://127.0.0.1:$1/$S3_BUCKET"; then
      return
    fi
    sleep 0.2
  done
  return 1
}

case ${1:-} in
  install) install_packages ;;
  run) if (($# != 3)); then fail "usage: ceph-rgw.sh run DIR PORT"; fi && install_packages && serve "$2" "$3" ;;
  *) sed -n '5,7p' "$0" >&2 && exit 2 ;;
esac
