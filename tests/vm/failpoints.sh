#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The supervisor killed after each of its steps: the next vmctl leaves nothing behind. Then it is held at each step of a
# start, and every other process that there is by then is killed, or the sandbox is stopped. With the null driver (see
# tests/cli/crash-failpoints.sh) all of that; with QEMU what differs by it.
. "${0%/*}/lib.sh"

all="lock files control launch go meta boot setup up end ended"
[ "$VM_DRIVER" = null ] && steps=$all || steps="launch go boot setup end"

echo "not to be touched" >"$P/file"
sum=$(sha256sum <"$P/file")

# The steps are the ones in the source.
if [ -d "$vm_here/../../vmctl" ]; then
  source=$(sed -n 's/.*vm_supervisor_step\(_on_record\)\{0,1\} (sup, "\([a-z]*\)").*/\2/p; s/.*vm_failpoint ("\([a-z]*\)").*/\1/p' \
    "$vm_here"/../../vmctl/*.c | sort -u | tr '\n' ' ')
  # Only where there are control groups: tests/vm/groups.sh kills it there. When it starts again: tests/cli/restart.sh.
  source=${source/group /} source=${source/restart /}
  source=${source/plugged /} # these two when something is plugged: tests/cli/plug.sh, tests/vm/plug.sh
  source=${source/plugging /}
  source=${source/copied /} # of a restore: tests/vm/snapshot.sh
  is "$source" "boot control end ended files go launch lock meta setup up " "every step of the source is tested"
fi

swept () { # STEP HOW: one list, and all is well
  run "$VMCTL" list --json
  is "$STATUS|$(tr -d '\n' <"$T/out")|$ERR" "0|[]|" "$1, $2: the next list is empty and has no complaints"
  nothing_left "$1, $2: nothing is left"
  is "$(ls -A "$P" | tr '\n' ' ')$(sha256sum <"$P/file")" "file $sum" "$1, $2: the project is as it was"
}

for step in $steps; do
  rm -rf "$XDG_STATE_HOME/vmctl/sandboxes"
  VMCTL_FAILPOINT=$step run_up "$P" -- sh -c 'exit 7'
  case $step in
  end | ended) is "$STATUS" 7 "$step: the client has the command's status" ;;
  *) is "$STATUS" 125 "$step: the client says that vmctl failed" ;;
  esac
  swept "$step" foreground
  id=$(ls "$XDG_STATE_HOME/vmctl/sandboxes" 2>/dev/null)
  case $step in
  lock) is "$id" "" "lock: there is no record of it" ;;
  end | ended) is "$(record "$id" reason.kind)|$(record "$id" reason.status)" "exited|7" "$step: what was known is recorded" ;;
  *) is "$(record "$id" reason.kind)|$(record "$id" state)" "supervisor-lost|ended" "$step: it is recorded" ;;
  esac
  [ "$VM_DRIVER" = null ] || continue
  VMCTL_FAILPOINT=$step vm_up -d "$P" -- true >/dev/null 2>&1
  # Its directory is the last thing that a supervisor removes; this one could not.
  lost () { for p in $(pgrep -P "$VM_REAPER" "^vmctl(-supervise)?$"); do dead "$p" || return 1; done; }
  until_true 20 lost
  swept "$step" detached
done

# Another start at once, without a list between: it sweeps as well.
VMCTL_FAILPOINT=boot run_up "$P" -- true
run_up "$P" -- sh -c 'exit 3'
is "$STATUS" 3 "after a lost start the next up works"

# A directory that its maker left without even a lock is taken away when it is old.
mkdir -m 0700 "$XDG_RUNTIME_DIR/vmctl/.new-abcdefgh"
vm list >/dev/null 2>&1
check "a directory that is being made is left alone" test -d "$XDG_RUNTIME_DIR/vmctl/.new-abcdefgh"
touch -d '2 minutes ago' "$XDG_RUNTIME_DIR/vmctl/.new-abcdefgh"
vm list >/dev/null 2>&1
check "an old one is swept" test ! -e "$XDG_RUNTIME_DIR/vmctl/.new-abcdefgh"

# Held at a step: who is killed there, and what becomes of it.

held () { [ -n "$(supervisor_of)" ] && grep -q '^State:[[:space:]]*T' "/proc/$(supervisor_of)/status"; }
supervisor_of () { record "$ID" supervisor.pid 2>/dev/null; }
there () { ID=$(ls "$XDG_RUNTIME_DIR/vmctl" 2>/dev/null | head -n 1) && [ -n "$ID" ] && held; }
exists () { VICTIM=$(pid_of "$ID" "$1") && [ -n "$VICTIM" ]; }
has_socket () { ls -l "/proc/$1/fd" | grep -q socket; }

mkfifo "$T/endless"
exec 9<>"$T/endless" # an input without an end, for a command that ends with its sandbox
hold () { # STEP WHO: a start that is held there. Sets ID, CLIENT, SUPERVISOR
  local command=(cat)
  [ "$2" = net ] && command=(sh -c 'exit 7')
  rm -rf "$XDG_STATE_HOME/vmctl/sandboxes"
  VMCTL_FAILPOINT=hold:$1 "$VMCTL" up -q --driver "$VM_DRIVER" --name held "$P" -- "${command[@]}" \
    <&9 >/dev/null 2>"$T/held" &
  CLIENT=$!
  until_true 60 there || no "$1: it is not held"
  SUPERVISOR=$(supervisor_of)
}

one_of () { # GOT "A|B" DESCRIPTION
  case "|$2|" in *"|$1|"*) ok "$3" ;; *) no "$3"; note "got: $1; wanted: $2"; note "$(cat "$T/held")" ;; esac
}

let_go () { # STEP WHO STATUS REASON: it goes on, and ends with one of these ("a|b")
  kill -CONT "$SUPERVISOR" 2>/dev/null
  wait "$CLIENT"
  one_of "$?" "$3" "$1, $2: the client's status"
  nothing_left "$1, $2: it ends by itself"
  swept "$1" "$2"
  one_of "$(record "$ID" reason.kind)" "$4" "$1, $2: the reason"
}

killed () { # STEP WHO STATUS REASON
  hold "$1" "$2"
  if [ "$2" = client ]; then VICTIM=$CLIENT; else until_true 20 exists "$2" || no "$1: there is no $2"; fi
  kill -9 "$VICTIM"
  [ "$2" = client ] || until_true 20 dead "$VICTIM"
  let_go "$@"
}

# Before its control socket there is nobody to ask: then --force is what ends it.
stopped () { # STEP
  hold "$1" stop
  case $1 in
  files)
    run "$VMCTL" stop --time 1 held
    is "$STATUS" 1 "$1, stop: nobody answers"
    like "$ERR" "vmctl stop --force" "$1, stop: and what to do is said"
    run "$VMCTL" stop --force held
    is "$STATUS" 0 "$1, stop --force"
    let_go "$1" stop 125 supervisor-lost
    return
    ;;
  esac
  "$VMCTL" stop held >/dev/null 2>"$T/stop" &
  stopper=$!
  until_true 20 has_socket $stopper
  kill -CONT "$SUPERVISOR"
  wait $stopper
  is "$?" 0 "$1, stop: works"
  let_go "$1" stop "125|143" stopped # 143: the command had begun
}

everybody="keeper vmm"
[ "$VM_DRIVER" = null ] || everybody="keeper bwrap inner vmm net"
[ "$VM_DRIVER" = null ] && before="files control meta" || before=""
for step in $before launch go boot setup; do
  killed "$step" client 137 client-gone
  stopped "$step"
  case $step in
  files | control | meta) continue ;;
  launch) killed launch keeper 125 start-failed && continue ;;
  esac
  for who in $everybody; do
    if [ "$who" = net ]; then
      killed "$step" net 7 exited # the sandbox goes on, and says what it lacks
      like "$(record "$ID" warnings)" "network's helper ended" "$step, net: it is told"
    else
      killed "$step" "$who" 125 "vmm-signal|$([ "$step" = go ] && echo start-failed)"
    fi
  done
done

# The emergency view, before there can be a shell. The supervisor has the console's outer end; the keeper has it too.
if [ "$VM_DRIVER" = qemu ]; then
  hold setup client
  check "setup: Enter on the console tells what the agent waits for" timeout $((60 * SLOW)) \
    python3 - "$XDG_RUNTIME_DIR/vmctl/$ID" <<'EOS'
import os, socket, sys
keeper = socket.socket (socket.AF_UNIX, socket.SOCK_SEQPACKET)
keeper.connect (f"/proc/self/fd/{os.open (sys.argv[1], os.O_PATH)}/keeper.sock")
keeper.send (b"console")
console = socket.socket (fileno=socket.recv_fds (keeper, 512, 1)[1][0])
console.setblocking (True)
console.send (b"\r")
said = b""
while b"waits for the host's word to set the sandbox up" not in said:
    said += console.recv (4096)
EOS
  kill -9 "$CLIENT"
  let_go setup "console's client" 137 client-gone
fi
finish
