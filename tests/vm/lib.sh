# SPDX-License-Identifier: LGPL-2.1-or-later
# For the tests with real sandboxes: bash, TAP, directories of their own, and a check that nothing is left.
#
#   . "${0%/*}/lib.sh"       at the top of a test; then is, like, check, ok, no ...; then finish
#
# $VMCTL        the program; default: the one of the newest build directory
# $VM_AS        root (default): as whoever runs the test; user: as `vmctl-test`, made when it is missing (only
#               root can do that; anybody else has run the test as himself already and skips); sudo: the same
#               user, who starts sandboxes with sudo, from a vmctl that is root's
# $VM_DRIVER    driver for `vm_up`; default qemu
#
# $VM_WANTS_HOME  not empty: where root runs the tests, a home of their own is mounted over root's, and over that of
#               vmctl-test, as far as this test sees; then $VM_OWN_HOME is not empty
#
# $T            the test's own directory, below $VM_TEST_DIR (default /var/tmp/vmctl-test-UID). The cache with the
#               guest's kernel, initramfs and disk is shared by all tests and all runs.
# $P            an empty project
# $VM_TEMPLATES yes: machines go on from a template, which is made first; default: they boot
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

# In place of vmctl: what starts a sandbox goes through sudo, all else needs no root. sudo's own settings stay, so
# that it is as for a person, except that it must not ask.
wrap_in_sudo () { # DIRECTORY
  command -v sudo >/dev/null || skip_all "sudo is missing"
  [ -d /etc/sudoers.d ] || skip_all "sudo has no /etc/sudoers.d"
  mkdir "$1/sudo" || exit 1
  cat >"$1/sudo/vmctl" <<END
#!/bin/sh
case \${1:-} in
up | plan | doctor | grants) exec $(command -v sudo) -n -E "$1/bin/vmctl" "\$@" ;;
*) exec "$1/bin/vmctl" "\$@" ;;
esac
END
  chmod 0755 "$1/sudo/vmctl"
  (umask 0337 && printf 'vmctl-test ALL=(root) NOPASSWD:SETENV: %s/bin/vmctl, /usr/bin/kill -KILL *\n' "$1" >"/etc/sudoers.d/$(basename "$1")") ||
    skip_all "cannot write to /etc/sudoers.d"
}

# with_home OWN PLACE COMMAND...: with OWN mounted at PLACE, as far as the command sees; OWN empty: as it is. In it is
# nested/, a project with another file system in it, which an ordinary user could not mount.
with_home () {
  [ -n "$1" ] || { "${@:3}"; return; }
  install -d -o "$(stat -c %u "$1")" -g "$(stat -c %g "$1")" "$1/nested" "$1/nested/sub" || return 1
  unshare -m --propagation slave sh -c 'mount --bind "$1" "$2" && mount -t tmpfs -o mode=1777 none "$2/nested/sub" && shift 2 && exec "$@"' sh "$@"
}

# Root's own home comes in the way only if the tests lie in it.
root_with_home () {
  local place
  place=$(getent passwd 0 | cut -d: -f6)
  case $vm_here/ in "$place"/*) return ;; esac
  case $VMCTL in "$place"/*) return ;; esac
  unshare -m true || return 0
  VM_OWN_HOME=$(mktemp -d /var/tmp/vmctl-test-home.XXXXXX) || exit 1
  export VM_OWN_HOME
  with_home "$VM_OWN_HOME" "$place" bash "$0" "$@"
  status=$?
  rm -rf "$VM_OWN_HOME"
  exit $status
}

# The user may not be able to reach the source tree: programs and tests come along.
become_user () {
  local home=/var/tmp/vmctl-test-copy-$$ own program=bin/vmctl
  own=$(basename "$(dirname "$0")")
  [ "$(id -u)" = 0 ] || skip_all "only root can run it as another user; it was run as this one"
  # Two tests may begin at once, and a user is there before his home is.
  (flock 9 && { id vmctl-test >/dev/null 2>&1 || useradd --create-home --shell /bin/bash vmctl-test; }) 9>/run/vmctl-test.lock ||
    skip_all "cannot make the user vmctl-test"
  mkdir -p "$home/bin" || exit 1
  find "$(dirname "$VMCTL")" ${VMCTL_PROBE:+"$VMCTL_PROBE"} -maxdepth 1 -type f -perm /1 -name 'vmctl*' \
    -exec cp -t "$home/bin" {} +
  cp -r "$vm_here" "$vm_here/../drivers" "$vm_here/../../examples" "$vm_here/../../docs/differences.tsv" "$home/"
  [ -d "$home/$own" ] || cp -r "$(dirname "$0")" "$home/$own"
  chmod -R a+rX "$home"
  trap 'rm -rf "$home" "/etc/sudoers.d/${home##*/}"' EXIT
  trap 'exit 143' TERM INT HUP
  if [ "$VM_AS" = sudo ]; then
    wrap_in_sudo "$home"
    program=sudo/vmctl
  fi
  cd / || exit 1
  # Whoever starts the first display of a host makes this, and only root's is good for everybody.
  [ -d /tmp/.X11-unix ] || install -d -m 1777 /tmp/.X11-unix
  VM_OWN_HOME=
  if [ -n "${VM_WANTS_HOME:-}" ] && unshare -m true; then
    VM_OWN_HOME=$home/home
    install -d -m 0700 -o vmctl-test -g "$(id -g vmctl-test)" "$VM_OWN_HOME" || exit 1
  fi
  with_home "$VM_OWN_HOME" "$(getent passwd vmctl-test | cut -d: -f6)" \
    setpriv --reuid vmctl-test --regid "$(id -g vmctl-test)" --init-groups env -i \
    HOME="$(getent passwd vmctl-test | cut -d: -f6)" USER=vmctl-test LOGNAME=vmctl-test CI="${CI:-}" \
    PATH=/usr/local/bin:/usr/bin:/bin TERM=dumb VM_AS=root VM_WHO="$VM_AS" VM_DRIVER="$VM_DRIVER" VMCTL="$home/$program" \
    VM_OWN_HOME="$VM_OWN_HOME" ${WORLD:+"WORLD=$WORLD"} \
    VMCTL_PROBE="$home/bin/vmctl-probe" DIFFERENCES="$home/differences.tsv" VM_NODE_CA="${NODE_EXTRA_CA_CERTS:-}" \
    VM_TEMPLATES="${VM_TEMPLATES:-}" VM_SLOW="${VM_SLOW:-}" VM_CACHE="${VM_CACHE:-}" bash "$home/$own/$(basename "$0")" "$@"
  exit $?
}

find_vmctl
command -v python3 >/dev/null || skip_all "python3 is missing"
case $VM_AS in user | sudo) become_user "$@" ;; esac
[ -z "${VM_WANTS_HOME:-}" ] || [ -n "${VM_OWN_HOME:-}" ] || [ "$(id -u)" != 0 ] || root_with_home "$@"
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
# A template that is made behind a test's back would be what the test left running.
mkdir -m 0700 "$T/config/vmctl"
if [ "${VM_TEMPLATES:-}" = yes ]; then printf '[templates]\nmake=false\n'; else printf '[defaults]\ncold=true\n'; fi \
  >"$T/config/vmctl/config"
if [ "${VM_TEMPLATES:-}" = yes ] && [ "$VM_DRIVER" = qemu ] && ! made=$("$VMCTL" template build -q "$P" 2>&1); then
  case $made in
  *"the qemu driver cannot work here"*) ;; # the test says so
  *) echo "Bail out! no template can be made: $made"; exit 1 ;;
  esac
fi
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
  if [ "$1" = "$2" ]; then
    ok "$3"
  elif no "$3"; [ "$(printf %s "$1" | wc -l)" -gt 20 ]; then
    note "$(diff -U 1 --label wanted --label got <(printf '%s\n' "$2") <(printf '%s\n' "$1"))"
  else
    note "got:    $1"; note "wanted: $2"
  fi
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

# Only where nothing tells when it is so: until SECONDS COMMAND... The seconds are patience, which costs nothing, and no
# bound that is tested: there are at least 60. The last look is behind the deadline, since all of this may stand still.
until_true () {
  local late=0 end=$((SECONDS + ($1 > 60 ? $1 : 60) * SLOW))
  shift
  while ! "$@" >/dev/null 2>&1; do
    [ $late = 0 ] || return 1
    sleep 0.05
    [ "$SECONDS" -lt "$end" ] || late=1
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

record () { # ID KEY, of a sandbox that runs or has ended; it may end between the two looks
  field "$XDG_RUNTIME_DIR/vmctl/$1/record.json" "$2" 2>/dev/null || field "$XDG_STATE_HOME/vmctl/sandboxes/$1/record.json" "$2"
}

newest_id () { # the sandbox that ended last
  ls -t "$XDG_STATE_HOME/vmctl/sandboxes" | head -n 1
}

pid_of () { # ID WHO: supervisor, keeper, net (vmctl-net), bwrap, inner (the jail's init), vmm or qemu (with
             # the null driver: the agent)
  local keeper bwrap inner
  [ "$2" = supervisor ] && record "$1" supervisor.pid && return
  keeper=$(record "$1" keeper.pid)
  [ "$2" = keeper ] && echo "$keeper" && return
  [ "$2" = net ] && pgrep -P "$keeper" -x vmctl-net && return
  bwrap=$(pgrep -P "$keeper" | grep -vx "$(pgrep -P "$keeper" -x vmctl-net)")
  case $VM_DRIVER in qemu | bwrap) bwrap=$(pgrep -P "$bwrap") ;; esac # below the cage's first process
  { [ "$2" = bwrap ] || [ "$VM_DRIVER" = null ]; } && echo "$bwrap" && return
  inner=$(pgrep -P "$bwrap")
  if [ "$2" = inner ]; then echo "$inner"; else pgrep -P "$inner"; fi
}

# Under sudo the keeper and what it runs are root's; wrap_in_sudo allows this.
kill_all () { # PID...
  local pid
  for pid; do kill -KILL "$pid" 2>/dev/null || [ "${VM_WHO:-}" != sudo ] || sudo -n /usr/bin/kill -KILL "$pid" 2>/dev/null; done
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

# Waits for what is ending by itself: when its directory has gone the supervisor still writes its record to the disk.
nothing_left () {
  if until_true 60 left_over; then ok "$1"; else no "$1"; left_over; tell_logs 20 "$XDG_RUNTIME_DIR/vmctl"; fi
}

tell_logs () { # LINES DIRECTORY: of the three newest sandboxes that are named there
  local name
  for name in $(ls -t "$2" 2>/dev/null | head -n 3); do
    echo "# supervisor.log of $name:"
    tail -n "$1" "$XDG_STATE_HOME/vmctl/sandboxes/$name/supervisor.log" 2>/dev/null | cut -c -300 | sed 's/^/#   /'
  done
}

finish () {
  nothing_left "nothing is left behind"
  echo "1..$vm_count"
  [ "$vm_failed" = 0 ] || exit 1
  exit 0
}

# run_suite PROGRAM ARGUMENT...: a suite in Python, which prints its own lines, writes their number (or "skipped") to
# $T/count, and fails if one of them did; and then what every test ends with.
run_suite () {
  python3 -B "$@" &
  suite=$!
  vm_more_tidy () { kill $suite 2>/dev/null; }
  wait $suite || vm_failed=1
  vm_count=$(cat "$T/count" 2>/dev/null || echo 0)
  [ "$vm_count" != skipped ] || exit 0
  finish
}

tidy () {
  local status=$? name
  [ "$vm_failed" = 0 ] || tell_logs 12 "$XDG_STATE_HOME/vmctl/sandboxes"
  # what the test failed to end
  for name in $(ls "$XDG_RUNTIME_DIR/vmctl" 2>/dev/null); do
    kill_all "$(record "$name" supervisor.pid)" "$(record "$name" keeper.pid)"
  done
  type vm_more_tidy >/dev/null 2>&1 && vm_more_tidy
  cd / && [ -n "${VM_KEEP:-}" ] || rm -rf "$T" 2>/dev/null || { chmod -R u+rwX "$T"; rm -rf "$T"; }
  exit $status
}
trap tidy EXIT
trap 'exit 143' TERM INT HUP
