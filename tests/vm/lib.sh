# SPDX-License-Identifier: LGPL-2.1-or-later
# For the tests with real sandboxes: bash, TAP, directories of their own, and a check that nothing is left.
#
#   . "${0%/*}/lib.sh"       at the top of a test; then is, like, check, ok, no ...; then finish
#
# $VMCTL        the program; default: the one of the newest build directory
# $VM_AS        root (default): as whoever runs the test; user: as `vmctl-test`, made when it is missing (only
#               root can do that; anybody else has run the test as himself already and skips)
# $VM_DRIVER    driver for `vm_up`; default qemu
#
# $T            the test's own directory, below $VM_TEST_DIR (default /var/tmp/vmctl-test-UID). The cache with the
#               guest's kernel, initramfs and disk is shared by all tests and all runs.
# $P            an empty project
set -u
export LC_ALL=C.UTF-8

vm_here=$(cd "$(dirname "$0")/../vm" && pwd)
vm_name=$(basename "$0" .sh)
VM_AS=${VM_AS:-root}
VM_DRIVER=${VM_DRIVER:-qemu}

skip_all () {
  echo "1..0 # SKIP $1"
  exit 0
}

find_vmctl () {
  local newest
  [ -n "${VMCTL:-}" ] && return
  newest=$(ls -t "$vm_here"/../../build*/vmctl/vmctl 2>/dev/null | head -n 1)
  [ -n "$newest" ] || { echo "Bail out! no vmctl; set VMCTL"; exit 1; }
  VMCTL=$(cd "$(dirname "$newest")" && pwd)/vmctl
}

# The user may not be able to reach the source tree: program and tests come along.
become_user () {
  local home=/var/tmp/vmctl-test-copy-$$ name
  [ "$(id -u)" = 0 ] || skip_all "only root can run it as another user; it was run as this one"
  id vmctl-test >/dev/null 2>&1 || useradd --create-home --shell /bin/bash vmctl-test ||
    skip_all "cannot make the user vmctl-test"
  mkdir -p "$home/vm" "$home/bin" "$home/$(basename "$(dirname "$0")")"
  for name in vmctl vmctl-agent vmctl-keeper vmctl-image; do
    cp "$(dirname "$VMCTL")/$name" "$home/bin/"
  done
  cp "$vm_here"/* "$home/vm/"
  cp "$0" "$home/$(basename "$(dirname "$0")")/"
  cp -r "$vm_here/../../examples" "$home/"
  chmod -R a+rX "$home"
  trap 'rm -rf "$home"' EXIT
  cd / || exit 1
  setpriv --reuid vmctl-test --regid "$(id -g vmctl-test)" --init-groups env -i \
    HOME="$(getent passwd vmctl-test | cut -d: -f6)" USER=vmctl-test LOGNAME=vmctl-test \
    PATH=/usr/local/bin:/usr/bin:/bin TERM=dumb VM_AS=root VM_DRIVER="$VM_DRIVER" VMCTL="$home/bin/vmctl" \
    VM_SLOW="${VM_SLOW:-}" VM_CACHE="${VM_CACHE:-}" bash "$home/$(basename "$(dirname "$0")")/$(basename "$0")"
  exit $?
}

find_vmctl
command -v python3 >/dev/null || skip_all "python3 is missing"
[ "$VM_AS" = user ] && become_user
[ -n "${VM_REAPER:-}" ] || exec python3 "$vm_here/reaper.py" bash "$0" "$@"

# Directories

vm_base=${VM_TEST_DIR:-/var/tmp/vmctl-test-$(id -u)}
mkdir -p -m 0700 "$vm_base" || exit 1
[ -O "$vm_base" ] || { echo "Bail out! '$vm_base' is not ours"; exit 1; }
T=$(mktemp -d "$vm_base/$vm_name.XXXXXX") || exit 1
mkdir -m 0700 "$T/run" "$T/state" "$T/config" "$T/data" "$T/p" || exit 1
mkdir -p -m 0700 "${VM_CACHE:-$vm_base/cache}"
export XDG_RUNTIME_DIR="$T/run" XDG_STATE_HOME="$T/state" XDG_CONFIG_HOME="$T/config" XDG_DATA_HOME="$T/data"
export XDG_CACHE_HOME="${VM_CACHE:-$vm_base/cache}"
export VMCTL T
P=$T/p
ME=$(id -un)
MY_HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
SLOW=${VM_SLOW:-1} # multiply deadlines by this

# TAP

vm_count=0 vm_failed=0

ok () {
  vm_count=$((vm_count + 1))
  echo "ok $vm_count - $*"
}

no () {
  vm_count=$((vm_count + 1)) vm_failed=$((vm_failed + 1))
  echo "not ok $vm_count - $*"
}

skip () { # REASON DESCRIPTION
  vm_count=$((vm_count + 1))
  echo "ok $vm_count - $2 # SKIP $1"
}

note () {
  printf '%s\n' "$*" | head -c 4000 | sed 's/^/#   /'
}

is () { # GOT WANTED DESCRIPTION
  if [ "$1" = "$2" ]; then ok "$3"; else no "$3"; note "got:    $1"; note "wanted: $2"; fi
}

isnt () {
  if [ "$1" != "$2" ]; then ok "$3"; else no "$3"; note "got what should not be: $1"; fi
}

like () { # GOT PATTERN DESCRIPTION: a shell pattern that must match somewhere
  # shellcheck disable=SC2254
  case $1 in *$2*) ok "$3" ;; *) no "$3"; note "got:    $1"; note "wanted: *$2*" ;; esac
}

unlike () {
  # shellcheck disable=SC2254
  case $1 in *$2*) no "$3"; note "got: $1"; note "which has: $2" ;; *) ok "$3" ;; esac
}

check () { # DESCRIPTION COMMAND...
  local what=$1 out
  shift
  if out=$("$@" 2>&1); then ok "$what"; else no "$what"; note "status $?: $*"; note "$out"; fi
}

check_not () {
  local what=$1 out
  shift
  if out=$("$@" 2>&1); then no "$what"; note "succeeded: $*"; note "$out"; else ok "$what"; fi
}

# Running

vm () {
  "$VMCTL" "$@"
}

# vmctl up without progress: OPTIONS... PROJECT -- COMMAND
vm_up () {
  "$VMCTL" up -q --driver "$VM_DRIVER" "$@"
}

# Runs a command with a deadline; sets STATUS, OUT and ERR (without the last newline).
run () {
  timeout -k 5 "$((${DEADLINE:-120} * SLOW))" "$@" >"$T/out" 2>"$T/err"
  STATUS=$?
  OUT=$(tr -d '\0' <"$T/out") ERR=$(tr -d '\0' <"$T/err")
}

run_up () {
  run "$VMCTL" up -q --driver "$VM_DRIVER" "$@"
}

# Starts a detached sandbox and waits until it is up: start NAME OPTIONS... PROJECT [-- COMMAND]. Sets ID.
start () {
  local name=$1
  shift
  ID=$(vm_up -d -T --name "$name" "$@") || return 1
  control "$ID" wait running
}

control () { # ID COMMAND...: see control.py
  local id=$1
  shift
  python3 "$vm_here/control.py" "$XDG_RUNTIME_DIR/vmctl/$id/control.sock" "$@"
}

drive () { # OPTIONS... COMMAND..., the script on stdin: see terminal.py
  SLOW=$SLOW timeout -k 5 "$((${DEADLINE:-120} * SLOW))" python3 "$vm_here/terminal.py" "$@"
}

# Only where nothing tells when it is so: until SECONDS COMMAND...
until_true () {
  local end=$((SECONDS + $1 * SLOW))
  shift
  while ! "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.05
  done
}

field () { # FILE KEY: a value of a JSON file; a.b for nested
  python3 -c '
import json, sys
value = json.load(open(sys.argv[1]))
for key in sys.argv[2].split("."):
    value = value.get(key) if isinstance(value, dict) else None
print("" if value is None else value if isinstance(value, str) else json.dumps(value))' "$1" "$2"
}

record () { # ID KEY, of a sandbox that runs or has ended
  local file=$XDG_RUNTIME_DIR/vmctl/$1/record.json
  [ -e "$file" ] || file=$XDG_STATE_HOME/vmctl/sandboxes/$1/record.json
  field "$file" "$2"
}

newest_id () { # the sandbox that ended last
  ls -t "$XDG_STATE_HOME/vmctl/sandboxes" | head -n 1
}

pid_of () { # ID WHO: supervisor, keeper, bwrap, inner (the jail's init), vmm or qemu (with the null
             # driver: the agent)
  local keeper bwrap inner
  [ "$2" = supervisor ] && record "$1" supervisor.pid && return
  keeper=$(record "$1" keeper.pid)
  [ "$2" = keeper ] && echo "$keeper" && return
  bwrap=$(pgrep -P "$keeper")
  { [ "$2" = bwrap ] || [ "$VM_DRIVER" = null ]; } && echo "$bwrap" && return
  inner=$(pgrep -P "$bwrap")
  if [ "$2" = inner ]; then echo "$inner"; else pgrep -P "$inner"; fi
}

# One look, not two: a zombie may be reaped in between.
dead () {
  case $(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) in
  '' | Z | X) return 0 ;;
  *) return 1 ;;
  esac
}

# Nothing is left

left_over () {
  local bad=0
  python3 "$vm_here/reaper.py" --left "$VM_REAPER" $$ || bad=1
  if [ -n "$(ls -A "$XDG_RUNTIME_DIR/vmctl" 2>/dev/null)" ]; then
    bad=1
    (cd "$XDG_RUNTIME_DIR/vmctl" && find . | head -n 20 | sed 's/^/# left in the runtime dir: /')
  fi
  if grep -F "$T" /proc/self/mountinfo | sed 's/^/# left mounted: /' | grep .; then bad=1; fi
  if find "$XDG_STATE_HOME" -name '*.qcow2' -o -name 'overlay*' 2>/dev/null | grep .; then bad=1; fi
  return $bad
}

# Waits a little for what is ending by itself: the supervisor removes its directory as its last act.
nothing_left () {
  if until_true "${2:-10}" left_over; then ok "$1"; else no "$1"; left_over; fi
}

finish () {
  nothing_left "nothing is left behind"
  echo "1..$vm_count"
  [ "$vm_failed" = 0 ] || exit 1
  exit 0
}

tidy () {
  local status=$? name
  if [ "$vm_failed" != 0 ]; then
    for name in $(ls -t "$XDG_STATE_HOME/vmctl/sandboxes" 2>/dev/null | head -n 3); do
      echo "# supervisor.log of $name:"
      tail -n 12 "$XDG_STATE_HOME/vmctl/sandboxes/$name/supervisor.log" 2>/dev/null | cut -c -300 | sed 's/^/#   /'
    done
  fi
  # what the test failed to end
  for name in $(ls "$XDG_RUNTIME_DIR/vmctl" 2>/dev/null); do
    kill -9 "$(record "$name" supervisor.pid)" "$(record "$name" keeper.pid)" 2>/dev/null
  done
  type vm_more_tidy >/dev/null 2>&1 && vm_more_tidy
  cd / && [ -n "${VM_KEEP:-}" ] || rm -rf "$T" 2>/dev/null || { chmod -R u+rwX "$T"; rm -rf "$T"; }
  exit $status
}
trap tidy EXIT
trap 'exit 143' TERM INT HUP
