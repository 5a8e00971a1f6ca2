#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The supervisor killed after each of its steps: the next vmctl leaves nothing behind. With the null driver (see
# tests/cli/crash-failpoints.sh) all of them; with QEMU those that differ by it.
. "${0%/*}/lib.sh"

all="lock files control meta launch go boot setup up end ended"
[ "$VM_DRIVER" = null ] && steps=$all || steps="launch go boot setup end"

echo "not to be touched" >"$P/file"
sum=$(sha256sum <"$P/file")

# The steps are the ones in the source.
if [ -d "$vm_here/../../vmctl" ]; then
  source=$(sed -n 's/.*vm_supervisor_step (sup, "\([a-z]*\)").*/\1/p; s/.*vm_failpoint ("\([a-z]*\)").*/\1/p' \
    "$vm_here"/../../vmctl/*.c | sort -u | tr '\n' ' ')
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
  lost () { for p in $(pgrep -P "$VM_REAPER" vmctl$); do dead "$p" || return 1; done; }
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
finish
