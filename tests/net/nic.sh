#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Network cards that are plugged into a machine, in the network of world.py: the sandbox's policy holds for all of them,
# and their helpers are looked after as the first.
. "${0%/*}/lib.sh"

LIST=allow:a.tls.test:443,10.9.9.0/24:80
T1=I_am_198.51.100.20_for_a.tls.test
helpers () { pgrep -P "$keeper" -x vmctl-net | wc -l; }
by () { run "$VMCTL" exec -T bare -- curl -sS --max-time 20 --interface "$1" "http://$2/"; } # CARD ADDRESS

# A sandbox that has no network
VMCTL_FAILPOINT=plugging start bare --net none "$P" -- sleep 600 && ok "a sandbox without a network" || { no "a sandbox without a network"; finish; }
keeper=$(pid_of "$ID" keeper)
is "$(helpers)" 0 "has no helper"
verdict ENETUNREACH "it reaches nothing" -- tcp 198.51.100.20 443
try bare
printf '[defaults]\nnet=none\n' >"$P/.vmctl.conf"
run "$VMCTL" plug bare nic
is "$STATUS" 2 "a card alone does not open what the project's configuration has closed"
like "$ERR" "net=none" "which is said"
printf '[defaults]\nnet=%s\n' "$LIST" >"$P/.vmctl.conf"
like "$(vm plug bare nic --dry-run)" "allow name a.tls.test" "it gets what that configuration allows"
rm "$P/.vmctl.conf"
supervisor=$(pid_of "$ID" supervisor)
run "$VMCTL" plug bare nic public
is "$STATUS" 1 "a supervisor that is killed while a card is plugged"
until_true 30 dead "$supervisor"
check "the next one takes it away, and the policy" until_true 30 sh -c "'$VMCTL' net show bare | grep -q none && ! '$VMCTL' status bare --json | grep -q nic0"
run "$VMCTL" plug bare nic "$LIST"
is "$STATUS $OUT" "0 nic0	eth0" "a card is plugged, with a policy"
is "$(helpers)" 1 "it has a helper"
like "$(vm net show bare)" "a.tls.test" "the policy is the sandbox's"
verdict $T1 "a listed name is reached" -- tls a.tls.test 443 a.tls.test
verdict I_am_10.9.9.9 "a listed network" -- http 10.9.9.9 80 x
verdict refused "nothing else" -- tcp 198.51.100.11 80
verdict noname "no other name is told" -- name b.tls.test
try bare
like "$(vm net log bare)" "refuse tcp*198.51.100.11:80*not on the list" "the log says so"

# Another one, by which there is no way around
run "$VMCTL" plug bare nic public
is "$STATUS" 1 "another policy is refused"
like "$ERR" "one policy" "and why"
run "$VMCTL" plug bare nic
is "$STATUS $OUT" "0 nic1	eth1" "another card has the same"
is "$(helpers)" 2 "and a helper of its own"
by eth1 10.9.9.9
is "$OUT" "I am 10.9.9.9" "a listed network is reached by it"
refusals () { vm net log bare | grep -c 'refuse.*198.51.100.11:80'; }
before=$(refusals)
by eth1 198.51.100.11
is "$STATUS" 7 "and nothing else"
check "which is in the same log" [ "$(refusals)" -gt "$before" ]
check "the policy is changed" vm net allow bare 198.51.100.11
by eth1 198.51.100.11
is "$OUT" "I am 198.51.100.11" "for one card"
by eth0 198.51.100.11
is "$OUT" "I am 198.51.100.11" "and the other"
check "and back" vm net deny bare 198.51.100.11
by eth1 198.51.100.11
is "$STATUS" 7 "for one card"
by eth0 198.51.100.11
is "$STATUS" 7 "and the other"
is "$(vm stats bare --json | "$PY" -c 'import json, sys; print(json.load(sys.stdin)[0]["net"]["refused"] >= 4)')" True "stats add them up"

# Whoever is killed
supervisor=$(pid_of "$ID" supervisor)
kill_all "$supervisor"
killed=$(pgrep -P "$keeper" -x vmctl-net)
for net in $killed; do kill -KILL "$net"; done
others () { pgrep -P "$keeper" -x vmctl-net | grep -vxF "$killed" | wc -l; }
replaced () { [ "$(others)" = 2 ]; }
check "helpers that are killed are replaced" until_true 30 replaced
check "another supervisor takes over" until_true 30 sh -c "'$VMCTL' net show bare | grep -q a.tls.test"
check "and can change the policy" vm net deny bare 10.9.9.9
by eth1 10.9.9.9
is "$STATUS" 7 "for one card"
by eth0 10.9.9.9
is "$STATUS" 7 "and the other"
by eth1 10.9.9.10
is "$OUT" "I am 10.9.9.10" "which works"

# They go
run "$VMCTL" unplug bare nic0
is "$STATUS" 0 "a card is taken away"
is "$(helpers)" 1 "its helper ends"
verdict I_am_10.9.9.10 "the other takes its place" -- http 10.9.9.10 80 x
verdict refused "with the same policy" -- tcp 10.9.9.9 80
try bare
run "$VMCTL" unplug bare nic1
is "$STATUS" 0 "the last one is taken away"
is "$(helpers)" 0 "its helper ends"
like "$(vm net show bare)" "none" "the policy has gone with it"
run "$VMCTL" exec -T bare -- ls /sys/class/net
is "$OUT" lo "and the card"
run "$VMCTL" unplug bare nic
is "$STATUS" 1 "the machine's own card stays"
like "$ERR" "machine's own" "which is said"
check "one that is there when the sandbox starts again" vm plug bare nic public
check "(it does)" vm restart bare
keeper=$(pid_of "$ID" keeper)
is "$(helpers)" 0 "has gone"
like "$(vm net show bare)" "none" "with the policy"
check "and can be plugged again" vm plug bare nic public
is "$(helpers)" 1 "with a helper"
net=$(pgrep -P "$keeper" -x vmctl-net)
kill_all "$keeper"
check "with the keeper the helper goes" until_true 30 dead "$net"

# From the start
run_up -T --new --net "$LIST" --plug nic "$P" -- sh -c 'curl -sS --interface eth1 http://10.9.9.9/; curl -sS http://10.9.9.9/'
is "$OUT" "I am 10.9.9.9
I am 10.9.9.9" "a second card is there before the command"
finish
