#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# up: exit statuses, joining, --new, -d, and what becomes of ended sandboxes.
. "$(dirname "$0")/lib.sh"
requires python3

for status in 0 1 42 125 255; do
  run "$status" up -- sh -c "exit $status"
done
run 127 up -- no-such-program
has "$err" no-such-program
touch plain-file
run 126 up -- ./plain-file
run 143 up -- sh -c 'kill -TERM $$'
run 137 up -- sh -c 'kill -KILL $$'
run 0 up -- pwd
is "the directory" "$out" "$tmp/project"
run 0 up "$tmp/project" -- id -un
is "the user" "$out" "$(id -un)"
mkdir sub
run 0 sh -c "cd sub && '$V' up --driver null -q '$tmp/project' -- pwd"
is "the directory, begun below" "$out" "$tmp/project/sub"
run 0 up -e COLOUR=red -- sh -c 'echo $COLOUR'
is "the variable" "$out" red
run 0 up -- printf '%s|' 'a b' '' "q'q" '*'
is "the words" "$out" "a b||q'q|*|"

# Nothing runs any more, and everything is on record.
run 0 "$V" list --quiet
is "running ones" "$out" ""
run 0 "$V" list --all --json
[ "$(json "$out" 'len(j)')" -ge 10 ] || fail "too few ended ones"
run 0 "$V" status --json
is "state" "$(json "$out" 'j["state"]')" ended
is "reason" "$(json "$out" 'j["reason"]["kind"], j["reason"]["status"]')" "('exited', 0)"

# Detached, joined, another.
run 0 up -d -- sleep 1000
id=$out
is "the id's length" "$(printf %s "$id" | wc -c | tr -d ' ')" 8
until_has running "$V" list # the id comes when the sandbox is on its way
has "$out" "$id"
has "$out" "none (for tests only)"
run 125 up -d -- true
has "$err" "runs on this project already"
run 7 "$V" up --driver null -- sh -c 'exit 7'
has "$err" "joining the running sandbox"
has "$err" "$id"
# What would make the sandbox tighter must not seem to have worked.
for option in "--net none" --no-root "--memory 256M" "--cpus 1" "--disk none" "--no-grant git"; do
  # shellcheck disable=SC2086 # an option and its value
  run 125 "$V" up --driver null $option -- true
  has "$err" "${option%% *} cannot change it"
done
run 0 "$V" up --driver null --new -- true
hasnt "$err" joining
run 0 up -d --new --json -- sleep 1000
other=$(json "$out" 'j["id"]')
[ "$other" != "$id" ] || fail "--new made no other"
is "its name" "$(json "$out" 'j["name"]')" project-2
run 125 up -n project -- true
has "$err" "a sandbox named 'project' is running"
run 3 "$V" exec "$id" -- sh -c 'exit 3'
run 0 "$V" exec -C / -e A=b "$id" -- sh -c 'pwd; echo $A'
is "exec's directory and variable" "$out" "/
b"
# A directory is the project's when it is relative, and one that is not there is told apart from the command.
mkdir -p "$tmp/project/sub dir"
run 0 "$V" exec -C "sub dir" "$id" -- pwd
is "a relative directory" "$out" "$tmp/project/sub dir"
run 0 "$V" exec -C ../project/. "$id" -- pwd
is "one with dots" "$out" "$tmp/project"
run 126 "$V" exec -C /nonexistent "$id" -- pwd
has "$err" "cannot start in '/nonexistent' inside: No such file or directory"
run 127 "$V" exec -C / "$id" -- no-such-program
has "$err" "cannot run 'no-such-program' inside"
run 125 "$V" exec -C '' "$id" -- pwd
has "$err" --cwd
(cd "sub dir" && run 0 up -- pwd && is "joining from within the project" "$out" "$tmp/project/sub dir") || exit 1
# Words, variables and directories arrive as they are, or are refused: in a running sandbox as in a new one.
bad=$(printf 'a\377b')
mkdir "$tmp/project/$bad"
for verb in "up --new" up "exec $id"; do
  # shellcheck disable=SC2086 # a verb and its words
  set -- $verb
  [ "$1" = exec ] || set -- "$@" --driver null -q
  run 125 "$V" "$@" -- printf '%s\n' "$bad"
  has "$err" "word 3 of the command is not UTF-8"
  for env in "X=$bad" 1x=y =x ''; do
    run 125 "$V" "$@" -e "$env" -- true
    has "$err" --env
  done
  run 0 env FOO="host's" EMPTY= "$V" "$@" -e FOO -e EMPTY -e NOT_THERE -e A=b -- \
    sh -c 'echo "$FOO ${EMPTY-unset} ${NOT_THERE-unset} $A"'
  is "$verb: the variables" "$out" "host's unset unset b"
  run 125 env "FOO=$bad" "$V" "$@" -e FOO -- true
  has "$err" "--env: the value of 'FOO' is not UTF-8"
done
run 125 "$V" exec -C "$bad" "$id" -- pwd
has "$err" UTF-8
(cd "$bad" && run 125 up -- true && has "$err" "not UTF-8") || exit 1
rmdir "$bad" "sub dir"
run 125 up --json -- true
has "$err" "--json"
run 0 "$V" status "$id"
has "$out" "state      running"
has "$out" "agent      up"
has "$out" "sleep 1000"
run 0 "$V" status "$id" --json
is "state of a running one" "$(json "$out" 'j["state"], j["agent"]')" "('running', True)"

# The end.
run 1 "$V" rm "$id"
has "$err" "is running"
run 0 "$V" stop "$id"
has "$out" "has ended: stopped"
run 0 "$V" stop "$id"
has "$out" "had ended already"
run 0 "$V" status "$id"
has "$out" "reason     stopped"
run 0 "$V" rm "$id"
run 1 "$V" status "$id"
has "$err" "there is no sandbox"
run 0 "$V" rm --force "$other"
run 1 "$V" status "$other"
run 0 "$V" list -q
is "running ones" "$out" ""

# Pruning.
run 0 "$V" list -a -q
count=$(printf '%s\n' "$out" | wc -l)
newest=$(printf '%s\n' "$out" | tail -n 1)
run 0 "$V" prune --keep 1 --dry-run
has "$out" "would free"
run 0 "$V" list -a -q
is "after a dry run" "$(printf '%s\n' "$out" | wc -l)" "$count"
run 0 "$V" prune --keep 1 --json
is "removed" "$(json "$out" 'j["removed"], len(j["items"])')" "(True, $((count - 1)))"
run 0 "$V" list -a -q
is "what is left" "$out" "$newest"
# A state directory without a record is what a crash or a reboot leaves.
mkdir -m 0700 "$tmp/state/vmctl/sandboxes/abcdefgh"
echo x > "$tmp/state/vmctl/sandboxes/abcdefgh/supervisor.log"
run 0 up -d -- sleep 1000
run 0 "$V" prune
has "$out" leftover
[ ! -e "$tmp/state/vmctl/sandboxes/abcdefgh" ] || fail "the leftover is still there"
# One that is seen from another runtime directory only is not.
mkdir -m 0700 "$tmp/run2"
run 0 env XDG_RUNTIME_DIR="$tmp/run2" "$V" prune
run 0 "$V" exec project -- true
run 0 "$V" prune --cache
run 0 "$V" stop --all
has "$out" "has ended"
[ -z "$(ls "$tmp/run/vmctl")" ] || fail "something is left in the runtime directory: $(ls "$tmp/run/vmctl")"
