#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The predecessor's commands: links to vmctl, by their names and old flags.
. "$(dirname "$0")/lib.sh"
requires python3

mkdir "$tmp/bin" "$tmp/tools"
for name in claude-sandbox claude-sandbox-container claude-sandbox-vm; do
  ln -s "$V" "$tmp/bin/$name"
done
cat > "$tmp/tools/claude" << 'END'
#!/bin/sh
for word; do printf '<%s>\n' "$word"; done
END
chmod 0755 "$tmp/tools/claude"
PATH=$tmp/bin:$tmp/tools:$PATH

for name in claude-sandbox claude-sandbox-container claude-sandbox-vm; do
  run 0 "$name" --help
  has "$out" "Usage: $name "
done
has "$out" "--driver qemu"
run 2 claude-sandbox --shel
has "$err" "unknown option '--shel'"
run 2 claude-sandbox --enter --stop
has "$err" "exclude each other"
run 125 claude-sandbox ./nowhere
has "$err" "does not exist"
run 1 claude-sandbox --stop
run 125 claude-sandbox --enter

# The sandboxes of the null driver stand in for the others: joining asks for no driver of its own but the named one.
run 0 up -d -p claude-shell --no-grant claude -- sleep 1000
id=$out
run 0 "$V" status --json "$id"
is "the profile" "$(json "$out" 'j["profile"]')" claude-shell
run 0 claude-sandbox --enter "$tmp/project" -- echo entered
is "entered" "$out" entered
run 0 claude-sandbox-vm --stop "$tmp/project"
run 0 "$V" list -q
is "running ones" "$out" ""

# --tmux: the program is tmux's.
run 0 "$V" plan --driver null -p claude --no-grant claude --tmux --json -- x
is "the command" "$(json "$out" 'j["plan"]["command"][:6] + j["plan"]["command"][7:]')" \
  "['tmux', 'new-session', '-s', 'vmctl', 'claude', '--append-system-prompt', 'x']"
run 0 "$V" plan --driver null --tmux --json
is "a shell in tmux" "$(json "$out" 'j["plan"]["command"]')" "['tmux', 'new-session', '-s', 'vmctl']"

# The real thing, where this host can.
if "$V" plan --driver bwrap > /dev/null 2> "$tmp/why" && ! grep -q 'warning' "$tmp/why"; then
  mkdir -p "$tmp/config/vmctl/profiles"
  run 0 claude-sandbox --shell "$tmp/project" -- sh -c 'echo "$VMCTL_DRIVER $PWD"'
  is "inside" "$out" "bwrap $tmp/project"
fi
