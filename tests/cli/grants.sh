#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# grants: the list, what is there and what is missing; --grant and --no-grant; and no secret in any output, argv or file
# but those that are for the sandbox alone.
. "$(dirname "$0")/lib.sh"
requires python3

home=$(getent passwd "$(id -u)" | cut -d: -f6)
unset SSH_AUTH_SOCK DISPLAY WAYLAND_DISPLAY GH_TOKEN GITHUB_TOKEN ANTHROPIC_API_KEY DBUS_SESSION_BUS_ADDRESS

run 0 "$V" grants
for grant in locale tz tls dns fonts git claude ssh-keys ssh-agent gh gh-token nix-daemon display audio gpu dbus-system \
  dbus-session keyring chromium userns; do
  case "
$out" in
  *"
$grant ("*) ;;
  *) fail "$grant is not listed" ;;
  esac
done
has "$out" "missing: \$SSH_AUTH_SOCK is not set"
has "$out" "ssh-agent (claude)"
has "$out" "gh-token (opt-in)"
run 0 "$V" grants "$tmp/project"
run 2 "$V" grants "$home"
run 2 "$V" grants "$tmp/nowhere"
(cd "$home" && "$V" grants > "$tmp/at-home" 2>&1) || fail "grants in the home: $(cat "$tmp/at-home")"

# A socket, from what can be let in to what must not.
python3 - "$tmp" << 'END'
import os, socket, sys
os.mkdir(sys.argv[1] + "/agent", 0o700)
socket.socket(socket.AF_UNIX).bind(sys.argv[1] + "/agent/s")
os.mkdir(sys.argv[1] + "/open")
os.chmod(sys.argv[1] + "/open", 0o777)
socket.socket(socket.AF_UNIX).bind(sys.argv[1] + "/open/s")
socket.socket(socket.AF_UNIX).bind(sys.argv[1] + "/project/s")
END
# shellcheck disable=SC2016
agent='[g for g in j if g["name"] == "ssh-agent"][0]["here"]'
SSH_AUTH_SOCK=$tmp/agent/s run 0 "$V" grants --json
is "the socket" "$(json "$out" "$agent['mounts'][0]['source']")" "$tmp/agent/s"
SSH_AUTH_SOCK=$tmp/open/s run 0 "$V" grants --json
has "$(json "$out" "$agent['problem']")" "everybody can write"
SSH_AUTH_SOCK=$tmp/gone run 0 "$V" grants --json
has "$(json "$out" "$agent['problem']")" "is not there"
ln -s agent "$tmp/turned"
[ "$(id -u)" -ne 0 ] || chown -h 12345 "$tmp/turned"
SSH_AUTH_SOCK=$tmp/turned/s run 0 "$V" grants --json
has "$(json "$out" "$agent['problem']")" "symbolic link"
SSH_AUTH_SOCK=$tmp/project/s run 0 "$V" grants --json
has "$(json "$out" "$agent['problem']")" "in the project"

# Named but absent: an error. From a profile: left out, and where the socket is a danger with a note.
run 1 "$V" plan --driver null --grant ssh-agent
has "$err" "grant 'ssh-agent': \$SSH_AUTH_SOCK is not set"
run 125 up --grant ssh-agent -- true
mkdir -p "$tmp/config/vmctl/profiles"
printf '[profile]\ngrants=ssh-agent;gh-token\n' > "$tmp/config/vmctl/profiles/some.conf"
run 0 "$V" plan --driver null --json -p some
is "in force" "$(json "$out" 'j["plan"]["grants"]')" "[]"
hasnt "$err" ssh-agent
SSH_AUTH_SOCK=$tmp/open/s run 0 "$V" plan --driver null -p some
has "$err" "grant 'ssh-agent' is left out: everybody can write"
SSH_AUTH_SOCK=$tmp/agent/s run 0 "$V" plan --driver null --json -p some
is "in force" "$(json "$out" 'j["plan"]["grants"]')" "['ssh-agent']"
SSH_AUTH_SOCK=$tmp/agent/s run 0 "$V" plan --driver null --json -p some --no-grant ssh-agent
is "taken away" "$(json "$out" 'j["plan"]["grants"]')" "[]"
run 2 "$V" plan --grant no-such
has "$err" "'no-such' is not a grant"

# Secrets reach the inside, and nobody else.
canary=canary-5f1e
export GH_TOKEN=$canary
for how in "plan" "plan --json" "grants" "grants --json"; do
  # shellcheck disable=SC2086 # a verb and an option
  case $how in
  plan*) run 0 "$V" $how --driver null --grant gh-token -e MY_TOKEN=$canary ;;
  *) run 0 "$V" $how ;;
  esac
  hasnt "$out$err" "$canary"
  has "$out" GH_TOKEN
done
run 0 up --grant gh-token -e MY_KEY=$canary -- sh -c 'echo "$GH_TOKEN $MY_KEY"'
is "inside" "$out" "$canary $canary"
run 0 up -d --grant gh-token -- sleep 1000
id=$out
run 0 "$V" exec "$id" -- sh -c 'echo "$GH_TOKEN"'
is "of a further command" "$out" "$canary"
unset GH_TOKEN
python3 - "$canary" "$tmp" << 'END' || fail "the secret is where it must not be"
import os, sys
canary, tmp = sys.argv[1].encode(), sys.argv[2]
bad = 0
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        if pid != str(os.getpid()) and canary in open("/proc/%s/cmdline" % pid, "rb").read():
            print("argv of", pid)
            bad = 1
    except OSError:
        pass
found = 0
for top, _, files in os.walk(tmp):
    for name in files:
        path = os.path.join(top, name)
        if name.startswith(".") or not os.path.isfile(path) or canary not in open(path, "rb").read():
            continue
        found += 1
        if os.stat(path).st_mode & 0o077 or not path.startswith(tmp + "/run/vmctl/"):
            print(path, oct(os.stat(path).st_mode))
            bad = 1
sys.exit(bad or not found)
END
run 0 "$V" logs "$id"
hasnt "$out" "$canary"
run 0 "$V" stop "$id"
[ -z "$(grep -r "$canary" "$tmp/state" "$tmp/run" 2> /dev/null)" ] || fail "the secret stays on the disk"

# State: one folder a project, with the project's path in it; another's is refused.
run 0 up -- true
folder=$(ls -d "$tmp"/state/vmctl/projects/project-*)
is "the mark" "$(cat "$folder/project")" "$tmp/project"
mkdir -p "$tmp/b/project"
run 0 sh -c "cd '$tmp/b/project' && '$V' up --driver null -q -- true"
is "folders" "$(ls "$tmp/state/vmctl/projects" | wc -l | tr -d ' ')" 2
printf /another > "$folder/project"
run 125 up -- true
has "$err" "belongs to '/another'"
