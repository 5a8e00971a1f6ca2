#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Policies by name, in the network of world.py: what passes and what does not, live changes, a helper that dies, floods.
# The table of verdicts is also in docs/network.md. One sandbox does nearly all: it is a start that costs.
. "${0%/*}/lib.sh"

LIST='allow:a.tls.test:443,*.wild.test,port.test:7777-8443/tcp,udp.test:7777/udp,quic.test,raw.test'
LIST+=',chain.test,chain-lan.test,loop.test,rebind.test,rebind-meta.test,metadata.test,lan.test,loopback.test,host.test,zero.test'
LIST+=',big.test,huge.test,svc.test,svc-lan.test,v6.test,dual.test,mapped.test,*.rate.test'
LIST+=',10.9.9.0/24:80,0.0.0.0/0:8443,deny:10.9.9.10,no.wild.test'
start list --grant chromium --net "$LIST" --net-host-port 8080 --publish 18000:8000 --plug port=18001:8001/udp "$P" -- sleep 600 &&
  ok "a sandbox with a list" || { no "a sandbox with a list"; finish; }

# Names
verdict "NOERROR,198.51.100.20" "a listed name is told" -- dns a.tls.test
verdict "NOERROR,198.51.100.20" "by TCP too" -- dns a.tls.test A tcp
verdict "NOERROR,198.51.100.20" "and with EDNS" -- dns a.tls.test A udp 10.0.2.3 4096
verdict "198.51.100.20" "names have no case, and may have a last dot" -- name A.TLS.Test.
verdict "198.51.100.12" "*.wild.test is what is below wild.test" -- name x.wild.test
verdict "198.51.100.12" "at any depth" -- name y.x.wild.test
verdict noname "and not itself" -- name wild.test
verdict noname "nor what ends in the same letters" -- name notwild.test
verdict noname "nor what begins so" -- name x.wild.test.evil.test
verdict noname "a deny rule is above a wildcard that allows" -- name no.wild.test
verdict noname "what is not listed is not told" -- name other.test
verdict NXDOMAIN "whatever the type of question" -- dns secret.attacker.test TXT
verdict NXDOMAIN "by TCP too" -- dns secret2.attacker.test TXT tcp
verdict NXDOMAIN "and for services" -- dns c.tls.test HTTPS
i=0
for n in 'evil\0.a.tls.test' 'evil.com\0.a.tls.test' 'a%2etls.test' 'a\xef\xbc\x8etls\xe3\x80\x82test' '\xe5.tls.test' 2130706433 0x7f.1 127.1 \
  'a.tls\x20.test' 'a.tls.test\x20' "$(printf 'a%.0s' {1..63}).$(printf 'b%.0s' {1..63}).$(printf 'c%.0s' {1..63}).$(printf 'd%.0s' {1..52}).a.tls.test"; do
  i=$((i + 1))
  verdict "NXDOMAIN|FORMERR" "a name that is none is not told ($i)" -- dns "$n"
done
verdict "NOERROR" "there are no IPv6 addresses" -- dns v6.test AAAA
verdict "EAI-[25]" "for programs neither" -- name6 v6.test
verdict "EAI-[25]" "nor those of IPv4 in disguise" -- name6 mapped.test
verdict "198.51.100.10" "a name with both has the other" -- name dual.test
verdict "NOERROR,key1,key4=198.51.100.20" "HTTPS records come without keys for ECH" -- dns a.tls.test HTTPS
verdict "NOERROR,TC*" "an answer that is too large is cut" -- dns big.test
verdict "NOERROR,198.51.100.10,*more" "and whole by TCP" -- dns big.test A tcp
verdict 60 "as programs do it" -- count big.test
verdict "NOERROR*|SERVFAIL*" "one of 64 kB does no harm" -- dns huge.test A tcp
verdict "NOERROR*|SERVFAIL*" "nor a chain that goes round" -- dns loop.test
for m in 00 123401000001 123401000001000000000000c0c0c0 "12340100000100000000000 0c00c00010001" 123401000001000000000000c00c00010001 \
  1234010000ff00000000000001610000010001; do
  verdict sent "nonsense as a question" -- dns_raw "${m// /}"
done
verdict "NOERROR,198.51.100.20" "after which a question is answered" -- dns a.tls.test
verdict "198.51.100.15" "a listed name" -- name quic.test
verdict refused "does not make its address a name server. Another is not reached" -- dns a.tls.test A udp 198.51.100.15
verdict refused "by TCP neither" -- dns a.tls.test A tcp 198.51.100.15
verdict refused "nor one of the local network" -- dns a.tls.test A udp 192.168.77.1
verdict refused "nor DNS over TLS, at an address with a listed name" -- tcp quic.test 853
verdict refused "by UDP neither" -- udp quic.test 853

# Addresses
verdict refused "an address that no name led to is not reached" -- tcp 198.51.100.11 80
verdict refused "whatever name is said there" -- tls 198.51.100.21 443 a.tls.test
verdict "I_am_198.51.100.12" "a listed name is reached" -- http x.wild.test 80 x.wild.test
verdict "I_am_198.51.100.10" "also where an alias leads" -- http chain.test 80 chain.test
verdict refused "not where an alias leads to the local network" -- tcp chain-lan.test 80
for n in lan metadata host zero; do verdict refused "a listed name does not open a closed address: $n.test" -- tcp $n.test 80; done
verdict refused "nor this host's loopback" -- tcp loopback.test 8080
verdict "198.51.100.10,I_am_198.51.100.10,192.168.77.1,ECONNREFUSED" "nor when it changes its address" -- rebind rebind.test 80
verdict "198.51.100.10,I_am_198.51.100.10,169.254.169.254,ECONNREFUSED" "(to metadata)" -- rebind rebind-meta.test 80
verdict "NOERROR,key1,key4=198.51.100.18" "an address in an HTTPS record" -- dns svc.test HTTPS
verdict "I_am_198.51.100.18" "is one of the name" -- http 198.51.100.18 80 svc.test
verdict "NOERROR*" "a closed one there" -- dns svc-lan.test HTTPS
verdict refused "is not" -- tcp 172.16.5.5 80
verdict "I_am_10.9.9.9" "a range opens its closed addresses" -- http 10.9.9.9 80 whatever
verdict refused "at its port" -- tcp 10.9.9.9 22
verdict refused "save those that are denied" -- tcp 10.9.9.10 80
verdict "I_am_198.51.100.11" "0.0.0.0/0 is every public address" -- http 198.51.100.11 8443 whatever
for n in 10.9.9.9 172.16.5.5 169.254.169.254 100.64.1.1 192.168.77.1 203.0.113.7 10.0.2.2; do
  verdict refused "and no closed one: $n" -- tcp $n 8443
done
for n in 2001:db8::10 fd77::1 fd77::2 ::ffff:198.51.100.11 64:ff9b::c633:640a; do
  verdict "ENETUNREACH|ECONNREFUSED|EADDRNOTAVAIL" "no way by IPv6: $n" -- tcp6 $n 80
done

# Ports and protocols
verdict refused "a name with a port has that one only" -- tcp a.tls.test 80
verdict x "a range of ports: the first" -- raw port.test 7777 'x\n'
verdict "I_am_198.51.100.13" "the last" -- http port.test 8443 port.test
verdict refused "not the one below" -- tcp port.test 7776
verdict refused "not one above" -- tcp port.test 9000
verdict refused "only by TCP" -- udp port.test 7777
verdict echo "a port of UDP" -- udp udp.test 7777
verdict refused "not by TCP" -- tcp udp.test 7777
verdict refused "QUIC is refused" -- udp quic.test 443
verdict echo "other UDP is not" -- udp quic.test 5353

# What connections say
A="a.tls.test 443" T1=I_am_198.51.100.20_for_a.tls.test
verdict $T1 "TLS for the name that led there" -- tls $A a.tls.test
verdict $T1 "in single bytes" -- tls $A a.tls.test split
verdict $T1 "in small records" -- tls $A a.tls.test records
verdict answered "in 12 kB" -- tls $A a.tls.test pad
verdict "I_am_198.51.100.20_for_*" "in capitals" -- tls $A A.TLS.TEST
verdict cut "TLS for another name of the same address" -- tls $A b.tls.test
verdict cut "in single bytes" -- tls $A b.tls.test split
verdict cut "in small records" -- tls $A b.tls.test records
verdict cut "TLS for a listed name of another address" -- tls $A x.wild.test
verdict cut "TLS without a name" -- tls $A -
verdict cut "TLS with an encrypted name" -- tls $A a.tls.test ech
verdict cut "TLS behind an alert, where any protocol may be" -- tls x.wild.test 9000 other.test alert
verdict cut "in records of another version" -- tls x.wild.test 9000 other.test version
W="x.wild.test 80" T2=I_am_198.51.100.12
verdict $T2 "HTTP, the host with its port" -- http $W x.wild.test:80
verdict $T2 "in capitals" -- http $W X.Wild.Test
verdict $T2 "in single bytes" -- http_split $W x.wild.test
verdict cut "HTTP for another host" -- http $W other.test
verdict cut "in single bytes" -- http_split $W other.test
verdict cut "HTTP without a host" -- http $W -
verdict cut "for an address" -- http $W 198.51.100.12
verdict cut "with a NUL in the host" -- http $W 'x.wild.test\0.evil.test'
verdict cut "for two hosts" -- raw $W 'GET\x20/\x20HTTP/1.1\r\nHost:\x20x.wild.test\r\nHost:\x20other.test\r\n\r\n'
verdict cut "for another host in its first line" -- http $W x.wild.test http://other.test/ GET 1.1
H='HTTP/1.1\r\nHost:\x20other.test\r\n\r\n'
for n in '\x20GET\x20/\x20' '\x85GET\x20/\x20' 'GET\x0b/\xa0' 'get\x20/\x20' 'FOO\x20/\x20' '\n\r\nGET\t/\t'; do
  verdict cut "as forgiving servers read it: $n" -- raw $W "$n$H"
done
verdict cut "a CONNECT to elsewhere" -- http $W x.wild.test other.test:443 CONNECT 1.1
verdict cut "HTTP/2 without TLS" -- raw $W 'PRI\x20*\x20HTTP/2.0\r\n\r\nSM\r\n\r\n'
verdict got_it "what is neither" -- raw raw.test 9000 'listed\n'
verdict cut "not at port 443" -- raw raw.test 443 'unlisted\n'
verdict got_it "but for ssh" -- raw raw.test 443 'SSH-2.0-test\r\n'
verdict cut "TLS to a server that would look" -- tls raw.test 443 other.test

# This host
verdict 10.0.2.2 "host.vmctl.internal is this host" -- name host.vmctl.internal
verdict "I_am_127.0.0.1" "a port of its loopback that was asked for" -- http host.vmctl.internal 8080 host.vmctl.internal
verdict refused "and no other" -- tcp host.vmctl.internal 8081
verdict refused "though somebody is there" -- tcp host.vmctl.internal 8082
verdict refused "nor by UDP" -- udp host.vmctl.internal 7777
verdict refused "nor the host's other addresses" -- tcp 203.0.113.7 8081
verdict refused "nor another address of the same network" -- tcp 10.0.2.4 8080
try list

for n in other.test wild.test notwild.test x.wild.test.evil.test no.wild.test secret.attacker.test secret2.attacker.test c.tls.test \
  host.vmctl.internal; do
  is "$(questions $n)" 0 "no name server was asked for $n"
done
check_not "nor for names that are none" grep -E 'evil|%|x(5c|ef|e5)|2130706433|0x7f|aaaa' "$WORLD/dns.log"
isnt "$(questions a.tls.test)" 0 "but for the others"
check_not "nothing that was cut came through" grep -E "^198.51.100.16 443 (1603|$(printf unlisted | od -An -tx1 | tr -d ' '))" "$WORLD/raw.log"
check "(what passed did)" grep -E "^198.51.100.16 9000 $(printf listed | od -An -tx1 | tr -d ' ')" "$WORLD/raw.log"

# A browser pretends to encrypt the name that it wants, which is cut; the grant tells it not to.
if [ "$VM_DRIVER" != bwrap ] || ! command -v chromium >/dev/null; then
  skip "in bwrap, where chromium is installed" "Chromium loads a listed site"
else
  DEADLINE=120 run "$VMCTL" exec -T list -- chromium --headless --no-sandbox --disable-gpu --ignore-certificate-errors \
    --dump-dom https://a.tls.test/
  like "$OUT" "I am 198.51.100.20 for a.tls.test" "Chromium loads a listed site"
  [ "$vm_failed" = 0 ] || note "$(printf '%s\n' "$ERR" | tail -n 20)"
fi

# What is said of it
log=$(vm net log list)
for l in "refuse dns*other.test*not on the list" "refuse dns*secret.attacker.test*not on the list" \
  "refuse tcp*198.51.100.11:80*not on the list" "refuse tcp*metadata.test:80 (169.254.169.254)*cloud metadata" \
  "refuse tcp*10.9.9.10:80*10.9.9.10" "refuse tcp*b.tls.test:443 (198.51.100.20)*" "refuse udp*quic.test:443 (198.51.100.15)*QUIC*"; do
  case $log in *$l*) ok "net log: $l" ;; *) no "net log: $l"; note "$(printf '%s\n' "$log" | tail -n 30)" ;; esac
done
# Names of every kind were asked for; escape sequences would reach terminals.
verdict "NXDOMAIN|FORMERR" "a name that would do something to a terminal" -- dns '\x1b]0;pwned\x07.\x1b[2J.evil.test'
verdict "NXDOMAIN|FORMERR" "or look like another line" -- dns 'x\n1.000\x20allow\x20tcp.evil.test'
try list
check_not "the log is text" grep -qP '[^ -~]' "$XDG_STATE_HOME/vmctl/sandboxes/$ID/net.log"
check_not "of lines of one form" grep -qvE '^[0-9]+\.[0-9]{3} (allow|refuse) ([0-9]+ more|[a-z0-9]+ [^ ]+ [0-9.-]+ [0-9]+ .+)$' \
  "$XDG_STATE_HOME/vmctl/sandboxes/$ID/net.log"
check "net log --json is JSON" sh -c '"$0" net log list --json | python3 -c "import json, sys
lines = [json.loads(l) for l in sys.stdin]
assert any(l.get(\"name\") == \"other.test\" for l in lines), lines[:3]"' "$VMCTL"

# Published ports
behind tcp-server list "serve 8000 tcp"
check "a server inside" said tcp-server serving
fetch () { $PY -c 'import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 60)
print(s.recv(100).decode().strip())' "$@"; }
is "$(fetch 127.0.0.1 18000)" inside "a published port is reached"
check_not "at 127.0.0.1 only" fetch 192.168.77.2 18000
behind udp-server list "serve 8001 udp"
check "a server of UDP inside" said udp-server serving
is "$($PY -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(60); s.connect(("127.0.0.1", 18001)); s.send(b"x")
print(s.recv(100).decode())')" inside "a published port of UDP is reached"
run "$VMCTL" plug list port 18000:8003
isnt "$STATUS" 0 "a port that is taken is refused"
like "$ERR" 18000 "and named"
wait

# Changes while it runs
behind tcp-hold list "hold port.test 7777"
behind udp-hold list "hold udp.test 7777 udp"
check "a connection is held" said tcp-hold held
check "a flow of UDP is held" said udp-hold held
check "net deny" vm net deny list port.test
check "cuts a connection that is open" said tcp-hold "ECONNRESET"
check_not "and no other" grep -q ECONN "$T/udp-hold"
check "net deny" vm net deny list udp.test:7777/udp
check "cuts a flow of UDP" said udp-hold "ECONNREFUSED"
wait
check "net allow" vm net allow list late.test
before=$(vm net show list)
for bad in 'allow:bad..name' 'allow:10.0.0.0/33' 'allow:x:0' 'allow:x:70000' '@nosuchgroup' 'allow:notwild.test,host' everything/icmp ''; do
  run "$VMCTL" net set list "$bad"
  isnt "$STATUS" 0 "no policy: '$bad'"
done
run "$VMCTL" net allow list 'evil.com%00.github.com'
isnt "$STATUS" 0 "no name"
is "$(vm net show list)" "$before" "and the one before stays"
like "$before" late.test "net show says what was added"
verdict "I_am_198.51.100.17" "what was allowed is reached" -- http late.test 80 late.test
verdict refused "what was denied is not" -- tcp 198.51.100.13 7777
verdict noname "nor told" -- name port.test
verdict $T1 "the rest is as before" -- tls $A a.tls.test
try list
check "another name by SNI stays" vm net allow list a.tls.test

check "one more port of this host" vm net allow list host.vmctl.internal:8082
verdict connected "is reached" -- tcp host.vmctl.internal 8082
verdict "I_am_127.0.0.1" "beside the other" -- http host.vmctl.internal 8080 host.vmctl.internal
try list
behind host-hold list "hold host.vmctl.internal 8082"
check "a connection to it is held" said host-hold held
check "it is closed" vm net deny list host.vmctl.internal:8082
check "which cuts that" said host-hold "^b ECONNRESET"
verdict refused "and it is not reached any more" -- tcp host.vmctl.internal 8082
verdict refused "no other ever was" -- tcp host.vmctl.internal 8081
verdict "I_am_127.0.0.1" "the first one stays" -- http host.vmctl.internal 8080 host.vmctl.internal
try list

check "net set" vm net set list public,deny:b.tls.test,198.51.100.12
verdict $T1 "public: TLS" -- tls $A a.tls.test
verdict I_am_198.51.100.21_for_c.tls.test "for names that no list has" -- tls c.tls.test 443 c.tls.test
verdict noname "a denied name is not told" -- name b.tls.test
verdict cut "nor reached by another's address" -- tls $A b.tls.test
verdict cut "in small records" -- tls $A b.tls.test records
verdict "I_am_198.51.100.20_for_nobody" "TLS without a name passes" -- tls $A -
verdict cut "TLS with an encrypted one does not" -- tls $A a.tls.test ech
verdict cut "HTTP for a denied host" -- http 198.51.100.11 80 b.tls.test
verdict "I_am_198.51.100.11" "for another" -- http 198.51.100.11 80 other.test
verdict refused "a denied address" -- tcp x.wild.test 80
verdict refused "what only the list had opened is closed" -- tcp 10.9.9.9 80
verdict "I_am_127.0.0.1" "this host's port stays" -- http host.vmctl.internal 8080 host.vmctl.internal
try list

like "$(vm logs --supervisor list)" "net: public,deny:b.tls.test,198.51.100.12" "the supervisor's log has the changes"
is "$(record "$ID" net)" public "and the record what holds"

# A helper that is killed in the middle
net=$(pid_of "$ID" net) keeper=$(pid_of "$ID" keeper)
behind download list "download public.test 80 public.test"
check "a download" said download downloading
kill_all "$net"
check "the helper is replaced" until_true 30 sh -c "p=\$(pgrep -P $keeper -x vmctl-net) && [ \$p != $net ]"
check "what was open is cut" said download "b E"
check "and the record says so" until_true 30 sh -c "\"$VMCTL\" status list | grep -q 'started again'"
verdict noname "it has the last policy" -- name b.tls.test
verdict refused "all of it" -- tcp 198.51.100.12 80
verdict $T1 "and works" -- tls $A a.tls.test
verdict "I_am_127.0.0.1" "with this host's port" -- http host.vmctl.internal 8080 host.vmctl.internal
try list
wait

# Another supervisor, and another helper while there is none
net=$(pid_of "$ID" net)
kill_all "$(pid_of "$ID" supervisor)"
kill_all "$net"
check "the helper is replaced without a supervisor" until_true 30 sh -c "p=\$(pgrep -P $keeper -x vmctl-net) && [ \$p != $net ]"
check "another supervisor takes over" until_true 30 sh -c "'$VMCTL' net show list | grep -q b.tls.test"
verdict noname "and has the helper go on with the last policy" -- name b.tls.test
verdict $T1 "which works" -- tls $A a.tls.test
verdict "I_am_127.0.0.1" "with this host's port" -- http host.vmctl.internal 8080 host.vmctl.internal
try list
check "it can change the policy" vm net set list "$LIST,allow:late.test,198.51.99.0/24"
verdict noname "and that counts" -- name other.test
verdict "I_am_198.51.100.17" "for what is allowed too" -- http late.test 80 late.test
try list

# Floods
behind steady list "download x.wild.test 80 x.wild.test"
check "a download" said steady downloading
before=$(wc -l <"$WORLD/dns.log")
verdict "*" "many connections that nobody answers" -- flood_tcp 198.51.99.1 80 3000
verdict "I_am_198.51.100.12" "then one works" -- http x.wild.test 80 x.wild.test
verdict "*" "many flows of UDP" -- flood_udp 198.51.99.1 3000
verdict echo "then one works" -- udp quic.test 5353
verdict "*NXDOMAIN=*" "many questions" -- flood_dns 1000 attacker.test
verdict "*NOERROR*" "many that are allowed" -- flood_dns 1000 rate.test
verdict $T1 "then all works" -- tls $A a.tls.test
try list
check "and the download has gone on" kill -0 $!
check_not "without an end" grep -q "^b " "$T/steady"
is "$(tail -n "+$((before + 1))" "$WORLD/dns.log" | grep -c attacker)" 0 "no question for an unlisted name left"
net=$(pid_of "$ID" net)
check "the helper is small" awk '/^VmRSS/ { found = 1; exit $2 > 65536 } END { if (!found) exit 1 }' "/proc/$net/status"
# A flood may lose some: they are datagrams.
stats=$(vm stats list --json | $PY -c 'import json, sys
n = json.load(sys.stdin)[0]["net"]
print(n["flows"] <= 768 and n["udp-flows"] <= 128 and n["refused"] > 500 and n["received"] > 1 << 20 and n["questions"] > 500, n)')
like "$stats" "True {" "stats has the network's figures"
run "$VMCTL" stop list
is "$STATUS" 0 "it stops"
wait

# The host's own network
run_up -T --net host "$P" -- "$PY" verdicts.py <<'END'
web http 127.0.0.1 8080 x
name name a.tls.test
END
if [ "$VM_DRIVER" = qemu ]; then
  isnt "$STATUS" 0 "no machine has the host's network"
  like "$ERR" "host" "which is said"
else
  like "$OUT" "web I_am_127.0.0.1" "--net host is the host's network"
  like "$OUT" "name 198.51.100.20" "with its names"
  run "$VMCTL" up --driver "$VM_DRIVER" -T --net host "$P" -- true
  like "$ERR" "host" "and says what that gives up"
fi
finish
