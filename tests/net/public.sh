#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# --net public and --net none, in the network of world.py.
. "${0%/*}/../vm/lib.sh"
[ "$VM_DRIVER" = bwrap ] && { command -v bwrap > /dev/null || skip_all "bwrap is not installed"; }
[ "$VM_DRIVER" = nspawn ] && { command -v systemd-nspawn > /dev/null || skip_all "systemd-nspawn is not installed"; }
[ -c /dev/net/tun ] || skip_all "there is no /dev/net/tun"
PY=/usr/bin/python3
cp "${0%/*}/probe.py" "${0%/*}/running.py" "$P/"

# got KIND TARGET PORT: what the probe's line in $OUT says; took: its time is below the limit
got () { printf '%s\n' "$OUT" | awk -v k="$1" -v t="$2" -v p="${3:-0}" '$1 == k && $2 == t && $3 == p { print $4; exit }'; }
quick () { printf '%s\n' "$OUT" | awk -v k="$1" -v t="$2" -v p="${3:-0}" -v l="$((1 * SLOW))" \
  '$1 == k && $2 == t && $3 == p { found = 1; exit $5 >= l } END { if (!found) exit 1 }'; }
refused () { # KIND TARGET PORT [ERROR]: at once
  is "$(got "$1" "$2" "$3")" "${4:-ECONNREFUSED}" "$1 to $2 port $3 is refused"
  check "$1 to $2 port $3: at once" quick "$1" "$2" "$3"
}
probe () { run_up -T "$P" -- "$PY" probe.py "$@"; }

closed="10.0.2.2 10.0.2.4 127.0.0.53 169.254.169.254 169.254.7.7 10.9.9.9 172.16.5.5 100.64.1.1 192.0.0.8 198.18.0.9
  192.168.77.1 192.168.77.2 203.0.113.7"

# Everything in one sandbox: it is the time of a start that costs.
lines=("tcp 198.51.100.10 80" "tcp 198.51.100.10 8443" "udp 198.51.100.10 7777" "icmp 10.0.2.2"
  "name public.test" "name lan.test" "name nosuch.test" "named public.test 80" "named lan.test 80" "named metadata.test 80"
  "named host.test 8081" "named mixed.test 80" "tcp 203.0.113.7 8081" "tcp 192.168.77.2 8081" "tcp 10.0.2.2 8080"
  "tcp 10.0.2.3 80" "udp 10.0.2.3 7777 2" "abstract vmctl-net-test" "tcp6 ::1 80" "tcp6 fd00::1 80" "tcp6 2001:db8::1 80"
  "tcp6 ::ffff:10.9.9.9 80" "tcp6 64:ff9b::7f00:1 8080" "tcp 127.0.0.1 8080" "tcp 0.0.0.0 8080" "udp 255.255.255.255 7777 2"
  "udp 10.0.2.255 7777 2" "udp 224.0.0.251 7777 2" "udp 169.254.169.254 7777" "udp 10.9.9.9 7777" "udp 192.168.77.1 53"
  "tcp 192.168.77.1 53" "tcp 240.0.0.9 80 2" "icmp 192.168.77.1")
for a in $closed; do lines+=("tcp $a 80" "tcp $a 22" "udp $a 7777"); done
DEADLINE=200 probe "${lines[@]}"
is "$STATUS" 0 "the probe runs"
[ "$STATUS" = 0 ] || note "$ERR"

is "$(got tcp 198.51.100.10 80)" "I_am_198.51.100.10" "a public address is reached"
is "$(got tcp 198.51.100.10 8443)" "I_am_198.51.100.10" "at any port"
is "$(got udp 198.51.100.10 7777)" "echo" "by UDP too"
is "$(got icmp 10.0.2.2)" "reply" "the gateway answers a ping"
for a in $closed; do
  [ "$a" = 127.0.0.53 ] && continue # the sandbox's own loopback
  refused tcp "$a" 80
  refused tcp "$a" 22
done
for a in 10.0.2.2 169.254.169.254 10.9.9.9 192.168.77.1 192.168.77.2 203.0.113.7; do refused udp "$a" 7777; done
refused udp 192.168.77.1 53
refused tcp 192.168.77.1 53
refused tcp 203.0.113.7 8081
refused tcp 192.168.77.2 8081
refused tcp 10.0.2.2 8080
refused tcp 10.0.2.3 80
refused icmp 192.168.77.1 0 EHOSTUNREACH
for a in 255.255.255.255 10.0.2.255 224.0.0.251; do isnt "$(got udp $a 7777)" echo "nothing comes back from $a"; done
isnt "$(got tcp 240.0.0.9 80)" I_am_240.0.0.9 "240/4 is closed"
is "$(got tcp 127.0.0.1 8080)" ECONNREFUSED "127.0.0.1 is the sandbox's own"
is "$(got tcp 0.0.0.0 8080)" ECONNREFUSED "0.0.0.0 too"
for a in ::1 fd00::1 2001:db8::1 ::ffff:10.9.9.9 64:ff9b::7f00:1; do
  case $(got tcp6 "$a" 80)$(got tcp6 "$a" 8080) in
  ENETUNREACH | ECONNREFUSED | EADDRNOTAVAIL) ok "no way by IPv6: $a" ;;
  *) no "no way by IPv6: $a"; note "$(got tcp6 "$a" 80)$(got tcp6 "$a" 8080)" ;;
  esac
done
is "$(got abstract vmctl-net-test)" ECONNREFUSED "abstract sockets of this host are not there"

is "$(got name public.test)" 198.51.100.10 "names are resolved (resolver on this host's loopback)"
is "$(got name lan.test)" 192.168.77.1 "private addresses in answers are told"
like "$(got name nosuch.test)" EAI "a name that does not exist does not"
is "$(got named public.test 80)" I_am_198.51.100.10 "a named server is reached"
refused named lan.test 80
refused named metadata.test 80
refused named host.test 8081
isnt "$(got named mixed.test 80)" I_am_10.9.9.9 "a second, private answer opens nothing"

log=$(cat "$XDG_STATE_HOME/vmctl/sandboxes/$(newest_id)/net.log")
like "$log" "refuse tcp metadata.test 169.254.169.254 80 cloud metadata" "the log says what and why"
like "$log" "refuse tcp host.test 203.0.113.7 8081 this host" "an address of this host is named as such"
like "$log" "allow tcp - 198.51.100.10 80 public" "and what passed"
like "$log" "allow tcp public.test 198.51.100.10 80 public" "by the name that was asked for"

# The bytes
run_up -T "$P" -- sh -c 'curl -sS http://198.51.100.10/big | sha256sum'
is "$OUT" "$($PY -c 'import hashlib; print(hashlib.sha256(bytes(range(256)) * 4096 * 90).hexdigest())')  -" "90 MB down, intact"
run_up -T "$P" -- sh -c 'head -c 94371840 /dev/zero | tr "\0" x > big && curl -sS -T big http://198.51.100.10/ && rm big'
is "$OUT" "94371840 $(head -c 94371840 /dev/zero | tr '\0' x | sha256sum | cut -d' ' -f1)" "90 MB up, intact"
run_up -T "$P" -- sh -c 'curl -sS http://10.9.9.9/; exit 7'
is "$STATUS" 7 "exit statuses pass"

# none
probe_none () { run_up -T --net none "$P" -- "$PY" probe.py "$@"; }
probe_none "tcp 198.51.100.10 80" "tcp 10.0.2.2 8080" "abstract vmctl-net-test" "name public.test"
is "$(got tcp 198.51.100.10 80)" ENETUNREACH "none: no public address"
is "$(got tcp 10.0.2.2 8080)" ENETUNREACH "none: no gateway"
is "$(got abstract vmctl-net-test)" ECONNREFUSED "none: no abstract sockets"
like "$(got name public.test)" EAI "none: no names"

# The helper
start one "$P" -- sleep 300 && ok "a sandbox that stays" || no "a sandbox that stays"
net=$(pid_of "$ID" net)
# The sandbox may run before its helper has given up all that it does: the filter is the last of that.
until_true 30 grep -q '^Seccomp:.*2$' "/proc/$net/status"
status=$(cat "/proc/$net/status")
in_status () { printf '%s\n' "$status" | awk -v k="$1:" '$1 == k { print $2 }'; }
is "$(in_status CapEff)$(in_status CapPrm)$(in_status CapBnd)" 000000000000000000000000000000000000000000000000 \
  "the helper has no capabilities"
is "$(in_status NoNewPrivs) $(in_status Seccomp)" "1 2" "no new privileges, a system call filter"
isnt "$(in_status Uid)" 0 "it is not root"
if [ "${VM_WHO:-}" = sudo ]; then # it was root's once
  check_not "the user cannot look into it" ls "/proc/$net/fd"
else
  is "$(cd "/proc/$net/root" && find . | sort | tr '\n' ' ')" ". " "its root is empty"
  is "$(find "/proc/$net/fd" -lname '/*' ! -lname '/dev/null' ! -lname '/dev/net/tun' ! -lname '*/net.log' | wc -l)" 0 \
    "it holds no file but its log"
  is "$(tr -d '\0' < "/proc/$net/environ" | wc -c)" 0 "it has no environment"
fi
inside () { run "$VMCTL" exec -T one -- "$PY" probe.py "$@"; }
# A helper that is killed is replaced, and so is one that is killed as soon as it is there.
for once in one two; do
  kill -9 "$net"
  check "helper $once is replaced" until_true 30 sh -c \
    "p=\$(pgrep -P $(pid_of "$ID" keeper) -x vmctl-net) && [ \$p != $net ]"
  net=$(pgrep -P "$(pid_of "$ID" keeper)" -x vmctl-net)
done
inside "tcp 198.51.100.10 80" "tcp 10.9.9.9 80"
is "$(got tcp 198.51.100.10 80)" I_am_198.51.100.10 "a helper that was killed is replaced"
is "$(got tcp 10.9.9.9 80)" ECONNREFUSED "with the same policy"
like "$(record "$ID" warnings)" "started again" "and the record says so"
# One that dies at once is not, and then nothing goes out.
keeper=$(pid_of "$ID" keeper)
until_true 30 sh -c "pkill -9 -P $keeper -x vmctl-net; '$VMCTL' status one | grep -q 'no network any more'"
like "$(record "$ID" warnings)" "no network any more" "one that dies at once stays dead, and the record says so"
inside "tcp 198.51.100.10 80 2"
is "$(got tcp 198.51.100.10 80)" timeout "then nothing goes out"
run "$VMCTL" stop one
is "$STATUS" 0 "stop works without it"

# Whoever is killed, the helper goes too.
for who in keeper supervisor; do
  start "two-$who" "$P" -- sleep 300 || no "a sandbox to kill the $who of"
  net=$(pid_of "$ID" net)
  kill_all "$(pid_of "$ID" $who)"
  [ $who = supervisor ] && run "$VMCTL" stop "two-$who"
  check "no helper is left after the $who's end" until_true 30 dead "$net"
done
finish
