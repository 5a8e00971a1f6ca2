#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Profiles: the built-in ones, the user's, what is wrong with a file, and the program that a profile starts.
. "$(dirname "$0")/lib.sh"
requires python3

profiles=$tmp/config/vmctl/profiles
mkdir -p "$profiles" "$tmp/bin" "$tmp/empty"
old=$PATH

# claude: found on PATH, told where it is, its arguments last; or how to get it.
PATH=/usr/bin:/bin
if ! command -v claude > /dev/null; then
  run 127 up -p claude --grant git --no-grant claude -- --version
  has "$err" "'claude' is not on this host's \$PATH"
  has "$err" "npm install -g @anthropic-ai/claude-code"
  run 1 "$V" plan --driver null -p claude
fi
cat > "$tmp/bin/claude" << 'END'
#!/bin/sh
for word; do printf '<%s>\n' "$word"; done
echo "$VMCTL_SANDBOX $VMCTL_DRIVER $ANTHROPIC_API_KEY"
exit 3
END
chmod 0755 "$tmp/bin/claude"
PATH=$tmp/bin:/usr/bin:/bin
run 0 "$V" plan --driver null -p claude --json -- --version 'two words'
is "the command" "$(json "$out" 'j["plan"]["command"][:2] + j["plan"]["command"][3:]')" \
  "['claude', '--append-system-prompt', '--version', 'two words']"
has "$(json "$out" 'j["plan"]["command"][2]')" "$tmp/project"
has "$(json "$out" 'j["plan"]["command"][2]')" "Network:"
run 0 "$V" plan --driver bwrap -p claude --json
is "let in" "$(json "$out" '[m["source"] for m in j["plan"]["mounts"] if m["why"] == "profile" and m["kind"] == "ro"]')" \
  "['$tmp/bin/claude']"
is "PATH" "$(json "$out" '"/run/host-programs/bin" in [e for e in j["plan"]["environment"] if e[:5] == "PATH="][0]')" True
# Without the grant, so that nothing is made in a home.
ANTHROPIC_API_KEY=canary run 3 up -p claude --no-grant claude -e "PATH=$PATH" -- --version
has "$out" "<--version>"
has "$out" "1 null "
hasnt "$out" canary

# A profile of one's own.
cat > "$profiles/agent.conf" << END
[profile]
summary=an agent
entrypoint=sh;-c;echo "\$0 \$1 \$A"\\; [ "\$0" != stay ] || exec sleep 1000
arguments=true
env=A=mine
grants=tz
path=$tmp/bin

[defaults]
net=none
memory=256M
END
run 0 up -p agent -- one two
is "the output" "$out" "one two mine"
run 0 "$V" plan --driver null -p agent --json
is "limits" "$(json "$out" 'j["plan"]["memory"] >> 20, j["plan"]["net"], j["plan"]["profile"]')" "(256, 'none', 'agent')"
has "$(json "$out" '[e for e in j["plan"]["environment"] if e[:5] == "PATH="]')" "PATH=$tmp/bin:"
run 0 up -d -p agent --new -- stay two
id=$out
run 0 "$V" up --driver null -q -p agent -- three four
is "joined" "$out" "three four mine"
run 0 "$V" stop "$id"
"$V" stop --all > /dev/null 2>&1 < /dev/null

# Its entrypoint is nowhere.
printf '[profile]\nentrypoint=no-such-agent\n' > "$profiles/gone.conf"
run 127 up -p gone
has "$err" no-such-agent

# What is wrong, and where.
printf '[profile]\nsummary=x\nentrypiont=y\n' > "$profiles/bad.conf"
run 125 up -p bad
has "$err" "'$profiles/bad.conf' line 3: there is no key 'entrypiont'"
printf '[profile]\ngrants=tz;everything\n' > "$profiles/bad.conf"
run 2 "$V" plan -p bad
has "$err" "'$profiles/bad.conf' line 2: grants: 'everything' is not a grant"
printf '[profile]\n\n[defaults]\nmemory=lots\n' > "$profiles/bad.conf"
run 2 "$V" plan -p bad
has "$err" "'$profiles/bad.conf' line 4: memory"
printf '[profile]\npath=%s\n' "$(getent passwd "$(id -u)" | cut -d: -f6)" > "$profiles/bad.conf"
run 2 "$V" plan --driver null -p bad
has "$err" "is your home directory"
printf '[defaults]\nprofile=no-such\n' > "$tmp/config/vmctl/config"
run 2 "$V" plan
has "$err" "'$tmp/config/vmctl/config' line 2: profile: there is no profile 'no-such'"
PATH=$old
