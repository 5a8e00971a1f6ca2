#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Help, version, and what is said to a typing mistake.
. "$(dirname "$0")/lib.sh"

run 0 "$V" help
has "$out" "Usage: vmctl VERB"
for verb in attach completion console doctor enter exec help list logs plan prune qmp rm status stop up version; do
  has "$out" "  $verb "
done
hasnt "$out" supervise
all=$out
run 0 "$V" --help
is "vmctl --help" "$out" "$all"
run 0 "$V"
is "vmctl alone" "$out" "$all"

for verb in $(printf '%s\n' "$all" | sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
  run 0 "$V" "$verb" --help
  has "$out" "Usage: vmctl $verb"
  has "$out" "--help"
  is "stderr of $verb --help" "$err" ""
  help=$out
  run 0 "$V" help "$verb"
  is "vmctl help $verb" "$out" "$help"
  [ -z "$(printf '%s\n' "$help" | awk 'length > 80')" ] || fail "help of $verb is wider than 80 columns"
done

run 0 "$V" version
has "$out" "vmctl 0."
run 0 "$V" --version
has "$out" "vmctl 0."
run 0 "$V" version --json
has "$out" '"version"'

run 2 "$V" sattus
has "$err" "did you mean 'vmctl status'"
is stdout "$out" ""
run 2 "$V" entirelyunknown
has "$err" "there is no verb 'entirelyunknown'"
run 2 "$V" "$(printf 'a\033[31mb')"
hasnt "$err" "$(printf '\033')"
run 2 "$V" help lst
has "$err" "vmctl help list"

run 2 "$V" list --jsno
has "$err" "did you mean --json"
run 2 "$V" list --json=yes
has "$err" "--json takes no value"
run 2 "$V" list -Z
has "$err" "-Z"
run 2 "$V" logs --tail
has "$err" "--tail needs a value"
run 2 "$V" list one
has "$err" "too many arguments"
run 2 "$V" list -- true
has "$err" "takes no command"
run 2 "$V" rm
has "$err" "usage: vmctl rm"
run 2 "$V" completion
run 2 "$V" completion csh
has "$err" "csh"
run 2 "$V" qmp x
has "$err" "no command"
run 2 "$V" logs --tail=-3
has "$err" "--tail"
run 2 "$V" logs --console --output
run 2 "$V" stop --time 0
has "$err" "--time"
run 2 "$V" stop --all x
run 2 "$V" prune --keep many
has "$err" "--keep"
# vmctl's own failures in a verb that gives a command's status.
run 125 "$V" up --jsno
has "$err" "did you mean --json"
run 125 "$V" exec x
run 125 "$V" exec nobody -- true
run 125 "$V" enter nobody
run 125 "$V" attach nobody

# Nobody reads: an error, and no signal's death.
"$V" help > /dev/full 2> "$tmp/full"
is "status with a full stdout" $? 1
has "$(cat "$tmp/full")" "cannot write to standard output"
