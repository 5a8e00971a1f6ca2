#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# net: what --net takes, what a project may ask for, and the verb. What is reached and refused: tests/net.
. "$(dirname "$0")/lib.sh"
requires python3
plan () { "$V" plan --driver null "$@"; }
policy () { json "$out" '(j["plan"]["net"], j["plan"].get("net-rules", []))'; }

# What was typed wrongly is refused by its name, and nothing starts.
while IFS='|' read -r word part; do
  run 125 "$V" up --driver null --net "$word" -- true
  has "$err" "--net: "
  has "$err" "$part"
done << 'END'
|is not a network
internet|write 'none', 'public', 'host'
none,public|stand alone
allow:@pypo|@anthropic, @debian, @github, @nix, @npm, @pypi
allow:2130706433|four numbers
allow:0x7f.1|'0x7f.1'
allow:10.0.0.0/33|prefix
allow:10.1.2.3/8|10.0.0.0/8
allow:a.example:0|from 1 to 65535
allow:a.example:70000|from 1 to 65535
allow:127.0.0.1|--net-host-port
allow:a.example,|an item is empty
allow:bücher.example|xn--
allow:*|'*'
allow:https://a.example|URL
END
run 125 "$V" up --driver null --net none --net-host-port 80 -- true
has "$err" "--net-host-port: with --net none"
run 125 "$V" up --driver null --net-host-port 0 -- true
has "$err" "--net-host-port: '0' is no port"
run 125 "$V" up --driver null --publish localhost:80 -- true
has "$err" "--publish: 'localhost:80' is no port"
run 0 "$V" list --all
hasnt "$out" "project"
# Several come to one policy, in one form.
run 0 plan --json --net allow:A.Example.,10.1.0.0/16:22/tcp --net deny:b.a.example --net-host-port 5432 --publish 8080
is "several" "$(policy)" "('list', ['hostport 5432', 'allow name a.example any 0-0 a.example', \
'allow net 10.1.0.0/16 tcp 22-22 10.1.0.0/16:22/tcp', 'deny name b.a.example any 0-0 deny:b.a.example'])"
has "$out" 'guest-port'
run 0 plan --net allow:@npm,a.example
has "$out" "allow:@npm,a.example"
run 0 "$V" up --driver null --net allow: -- true
has "$err" "reaches nothing"
run 0 "$V" up --driver null --net host -- true
has "$err" "in this host's own network"

# The configuration: groups, a default; the command line is stronger as a whole.
mkdir -p "$tmp/config/vmctl"
cat > "$tmp/config/vmctl/config" << 'END'
[defaults]
net=allow:@work,c.example
net-host-ports=5432;6379
[net-groups]
work=git.work.example:22;*.b.work.example
END
run 0 plan --json
is "the default" "$(policy)" "('list', ['hostport 5432', 'hostport 6379', 'allow name git.work.example any 22-22 @work', \
'allow name *.b.work.example any 0-0 @work', 'allow name c.example any 0-0 c.example'])"
run 0 plan --json --net deny:@work
is "the command line" "$(json "$out" 'j["plan"]["net-rules"][-1]')" "deny name *.b.work.example any 0-0 deny:@work"
# A project may only tighten, and says what it did not get.
printf '[defaults]\nnet=allow:x.b.work.example,d.example,10.1.1.1\nnet-host-ports=22\n[net-groups]\nwork=*.evil.example\n' > .vmctl.conf
run 0 plan --json
is "the project" "$(policy)" "('list', ['hostport 5432', 'hostport 6379', 'allow name x.b.work.example any 0-0 x.b.work.example'])"
for part in 'net=allow:d.example' 'net=allow:10.1.1.1' 'net-host-ports=22' 'work='; do has "$err" "$part"; done
printf '[defaults]\nnet=host\n' > .vmctl.conf
run 0 plan --json
has "$err" "net=host"
is "no host" "$(json "$out" 'j["plan"]["net"]')" list
printf '[defaults]\nnet=allow:@nobody\n' > .vmctl.conf
run 2 plan
has "$err" "@nobody"
rm .vmctl.conf
for bad in 'net=allow:1.2.3' 'net-host-ports=0' '[net-groups]|Work=a.b' '[net-groups]|work=@npm' '[net-groups]|work=a b'; do
  printf '[defaults]\n%s\n' "$bad" | tr '|' '\n' > "$tmp/config/vmctl/config"
  run 2 plan
  has "$err" "vmctl/config' line"
done
rm "$tmp/config/vmctl/config"

# The verb, where there is no helper.
run 0 up -d -n web -- sleep 1000
for words in '' 'nothing web' 'allow web' 'set web' 'show web more' 'log web --tail x' 'show web --follow'; do
  # shellcheck disable=SC2086 # words
  run 2 "$V" net $words
done
run 1 "$V" net show nobody
run 2 "$V" net allow web 'a b'
run 1 "$V" net allow web a.example
has "$err" "nobody judges"
run 0 "$V" net show web
has "$out" "public"
run 0 "$V" stop web
run 0 "$V" net show web
has "$out" "public"

# And where there is one: changes as a whole or not at all, on record, also after the supervisor was killed.
if ! "$V" up --driver bwrap -q -- true > /dev/null 2>&1; then
  echo "bwrap does not work here: nothing was changed while it ran"
  exit 0
fi
run 0 "$V" up --driver bwrap -d -n jail --net allow:a.example -- sleep 1000
id=$out
words () { json "$("$V" net show jail --json)" 'j["words"]'; }
run 0 "$V" net allow jail B.example 10.1.2.3:22
is "allowed" "$out" "allow:a.example,b.example,10.1.2.3/32:22"
run 0 "$V" net deny jail b.example @pypi
is "denied" "$(words)" "allow:a.example,10.1.2.3/32:22,deny:b.example,@pypi"
for bad in 'allow jail c.example 1.2.3' 'deny jail @pypo' 'set jail none' 'set jail host' 'set jail allow:a_b,c:d' 'allow jail 127.0.0.1'; do
  # shellcheck disable=SC2086 # words
  "$V" net $bad > /dev/null 2>&1 < /dev/null && fail "net $bad"
  is "after a mistake" "$(words)" "allow:a.example,10.1.2.3/32:22,deny:b.example,@pypi"
done
run 0 "$V" net set jail public deny:evil.example
is "set" "$out" "public,deny:evil.example"
run 0 "$V" status jail --json
is "the record" "$(json "$out" '(j["net"], j["net-rules"])')" \
  "('public', ['deny name evil.example any 0-0 deny:evil.example'])"
run 1 "$V" exec jail -- bash -c 'exec 3<> /dev/tcp/10.9.8.7/22'
has "$err" "refused"
run 0 "$V" net log jail --json
is "the log" "$(json "$out" '[j[k] for k in ("verdict", "protocol", "address", "port", "rule")]')" \
  "['refuse', 'tcp', '10.9.8.7', 22, 'private']"
run 0 "$V" net log jail
has "$out" "refuse tcp  10.9.8.7:22  private"
# Its helper, and its supervisor: what holds goes on to hold.
run 0 "$V" net set jail allow:a.example
kill -9 "$(json "$("$V" status jail --json)" 'j["supervisor"]["pid"]')"
run 0 "$V" net allow jail c.example
is "taken over" "$out" "allow:a.example,c.example"
keeper=$(json "$("$V" status jail --json)" 'j["keeper"]["pid"]')
for child in $(cat "/proc/$keeper/task/$keeper/children"); do
  case $(cat "/proc/$child/comm") in vmctl-net) kill -9 "$child" ;; esac
done
until_has "was started again" "$V" status jail
run 0 "$V" net allow jail d.example
is "another helper" "$out" "allow:a.example,c.example,d.example"
run 1 "$V" exec jail -- bash -c 'exec 3<> /dev/tcp/8.8.8.8/80'
run 0 "$V" net log jail --tail 1
has "$out" "8.8.8.8:80  not on the list"
# A helper that does not answer: nothing is changed, also once it goes on.
for child in $(cat "/proc/$keeper/task/$keeper/children"); do
  case $(cat "/proc/$child/comm") in vmctl-net) helper=$child ;; esac
done
kill -STOP "$helper"
run 1 "$V" net set jail allow:198.51.100.0/24
has "$err" "does not answer; nothing was changed"
kill -CONT "$helper"
is "not answered" "$(words)" "allow:a.example,c.example,d.example"
until_has '"refused"' "$V" stats jail --json # it has come to that, too
run 1 "$V" exec jail -- timeout 120 bash -c 'exec 3<> /dev/tcp/198.51.100.7/80'
run 0 "$V" net log jail --tail 1
has "$out" "198.51.100.7:80  not on the list"
run 0 "$V" net allow jail e.example
# Following ends with it.
: > "$tmp/followed" # who looks at it may be quicker than who opens it
timeout 120 "$V" net log jail --follow --json > "$tmp/followed" &
follower=$!
until_has 8.8.8.8 cat "$tmp/followed"
run 1 "$V" exec jail -- bash -c 'exec 3<> /dev/tcp/8.8.4.4/81'
until_has 8.8.4.4 cat "$tmp/followed"
run 0 "$V" stop jail
wait "$follower" || fail "net log --follow"
run 0 "$V" net show "$id"
has "$out" "allow:a.example,c.example,d.example,e.example"
run 1 "$V" net allow "$id" f.example
# The host's own network, said so, and without a policy to change.
run 0 "$V" up --driver bwrap --net host -- readlink /proc/self/ns/net
is "the namespace" "$out" "$(readlink /proc/self/ns/net)"
has "$err" "in this host's own network"
run 0 "$V" up --driver bwrap --net allow: -q -- readlink /proc/self/ns/net
[ "$out" != "$(readlink /proc/self/ns/net)" ] || fail "a list has the host's network"
run 125 "$V" up --driver qemu --net host -- true
has "$err" "--net-host-port"
run 0 "$V" up --driver bwrap -d -n shared --net host -- sleep 1000
is "the record" "$(json "$("$V" status shared --json)" 'j["net"]')" host
run 1 "$V" net allow shared a.example
has "$err" "--net host"
run 0 "$V" up --driver bwrap -d --new -n alone --net none -- sleep 1000
run 1 "$V" net set alone public
has "$err" "--net none"
# The first refusals on a terminal, with what would allow them; none with -q.
cat > refused.sh << 'END'
echo ready
read -r _
for i in 1 2 3 4; do (exec 3<> "/dev/tcp/10.9.8.$i/22") 2> /dev/null; done
END
in_terminal () { python3 -IS "$here/../vm/terminal.py" "$@" || fail "on a terminal: $*"; }
in_terminal "$V" up --driver bwrap --new -- bash refused.sh << 'SCRIPT'
expect ^ready$
send \r
expect the sandbox was refused 10\.9\.8\.1:22 \(private\); allow it: vmctl net allow 
expect  10\.9\.8\.3/32:22
end
absent 10\.9\.8\.4
SCRIPT
in_terminal "$V" up -q --driver bwrap --new -- bash refused.sh << 'SCRIPT'
expect ^ready$
send \r
end
absent 10\.9\.8\.1
SCRIPT
