# SPDX-License-Identifier: LGPL-2.1-or-later
# For the tests of the command line: sourced first. Each test has directories of its own, so that it meets neither
# the user's sandboxes nor another test's; everything it started is gone when it ends. $VMCTL is the program.
#
#   run STATUS COMMAND...     runs it without stdin; its status must be STATUS; $out and $err hold what it wrote
#   run_in STATUS COMMAND...  the same with the caller's stdin
#   has / hasnt TEXT PART     TEXT contains PART, or not
#   is WHAT GOT WANTED        they are equal
#   until_has TEXT COMMAND... runs it until its output contains TEXT, for two minutes at most
#   requires PROGRAM          else the test is skipped (77)
#   free_port                 a TCP port that nobody has, and that nobody is given who asks for any
#   json TEXT EXPRESSION      a Python expression on the parsed JSON, `j`
#   on_exit COMMAND           runs at the end, last one first
set -u
export LC_ALL=C.UTF-8
here=$(cd "$(dirname "$0")" && pwd) # the tests
V=${VMCTL:?VMCTL is not set; run the tests with meson test}
unset SUDO_UID SUDO_GID SUDO_USER SUDO_COMMAND VMCTL_FAILPOINT NO_COLOR
umask 022

tmp=$(mktemp -d "${TMPDIR:-/tmp}/vmctl-cli-XXXXXX") || exit 1
tmp=$(cd "$tmp" && pwd -P)
mkdir -p -m 0700 "$tmp/run" "$tmp/state" "$tmp/cache" "$tmp/config" "$tmp/data" "$tmp/home" || exit 1
mkdir "$tmp/project" || exit 1
export XDG_RUNTIME_DIR="$tmp/run" XDG_STATE_HOME="$tmp/state" XDG_CACHE_HOME="$tmp/cache"
export XDG_CONFIG_HOME="$tmp/config" XDG_DATA_HOME="$tmp/data" HOME="$tmp/home" TERM=dumb
cd "$tmp/project" || exit 1
out= err= at_exit=:

cleanup () {
  status=$?
  trap - EXIT INT TERM HUP
  eval "$at_exit"
  XDG_RUNTIME_DIR="$tmp/run" XDG_STATE_HOME="$tmp/state" "$V" stop --all --force > /dev/null 2>&1 < /dev/null
  chmod -R u+rwx "$tmp" 2> /dev/null
  rm -rf "$tmp"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP
on_exit () { at_exit="$*; $at_exit"; }

skip () { echo "skipped: $*"; exit 77; }
requires () { command -v "$1" > /dev/null || skip "$1 is not installed"; }
fail () {
  printf 'FAILED: %s\n--- stdout\n%s\n--- stderr\n%s\n' "$*" "$(printf %s "$out" | head -c 4000)" \
    "$(printf %s "$err" | head -c 4000)"
  exit 1
}

run_in () {
  want=$1
  shift
  "$@" > "$tmp/.out" 2> "$tmp/.err"
  got=$?
  out=$(cat "$tmp/.out") err=$(cat "$tmp/.err")
  [ "$got" -eq "$want" ] || fail "'$*' ended with $got, wanted $want"
}
run () { run_in "$@" < /dev/null; }

until_has () {
  wanted=$1 end=$(($(date +%s) + 120))
  shift
  run 0 "$@"
  until case $out in *"$wanted"*) true ;; *) false ;; esac do
    [ "$(date +%s)" -lt "$end" ] || fail "'$wanted' never came out of '$*'"
    run 0 "$@"
  done
}

has () { case $1 in *"$2"*) ;; *) fail "'$2' is not in '$1'" ;; esac; }
hasnt () { case $1 in *"$2"*) fail "'$2' is in '$1'" ;; esac; }
is () { [ "$2" = "$3" ] || fail "$1 is '$2', wanted '$3'"; }
json () { printf '%s' "$1" | python3 -ISc 'import json, sys; j = json.load(sys.stdin); print(eval(sys.argv[1]))' "$2"; }

# Below those that the kernel gives to whoever has no wish (ip_local_port_range): of these one may be another test's by
# the time it is used.
free_port () {
  python3 -ISc '
import random, socket
while True:
    s = socket.socket()
    try:
        s.bind(("127.0.0.1", random.randrange(10000, 32000)))
    except OSError:
        continue
    print(s.getsockname()[1])
    break'
}

# up: the null driver, so that a sandbox takes milliseconds.
up () { "$V" up --driver null -q "$@"; }

# watch SANDBOX: follows its events, and returns once it does. watched: waits for the sandbox's end; $events has them.
watch () {
  mkfifo "$tmp/.events" || exit 1
  timeout 120 "$V" qmp --events "$1" query-version > "$tmp/.events" 2>&1 < /dev/null &
  watcher=$!
  exec 3< "$tmp/.events"
  rm "$tmp/.events"
  while read -r line <&3 && [ "$line" != "}" ]; do :; done # its answer: it listens
}
watched () {
  events=$(cat <&3)
  exec 3<&-
  wait "$watcher" || fail "qmp --events ended with $?: $events"
}
