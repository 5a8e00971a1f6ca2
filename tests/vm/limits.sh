#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Memory, processors, disk, network.
. "${0%/*}/lib.sh"

report='
awk "/MemTotal/ { print int (\$2 / 1024) }" /proc/meminfo
nproc
df -Pm / | awk "NR == 2 { print \$2 }"
ls /sys/class/net | tr "\n" " "
echo
grep " / " /proc/mounts | head -n 1 | cut -d" " -f3'
take () { # sets MEM CPUS DISK NETS ROOT
  mapfile -t answers <<<"$OUT"
  MEM=${answers[0]:-0} CPUS=${answers[1]:-0} DISK=${answers[2]:-0} NETS=${answers[3]:-} ROOT=${answers[4]:-}
}
between () { # GOT LOW HIGH DESCRIPTION
  if [ "$1" -ge "$2" ] && [ "$1" -le "$3" ]; then ok "$4"; else no "$4"; note "got $1, wanted $2 to $3"; fi
}

run_up --memory 600M --cpus 2 --disk 1G --net none "$P" -- sh -c "$report
dd if=/dev/zero of=/full bs=1M count=2000 2>&1 | grep -o 'No space left' || dd if=/dev/zero of=\$HOME/full bs=1M count=2000 2>&1 | grep -o 'No space left'
rm -f /full \$HOME/full; echo still here
ping -c1 -W1 10.0.2.2 >/dev/null 2>&1 && echo reached; getent hosts example.org || echo no name"
take
between "$MEM" 480 600 "--memory 600M"
is "$CPUS" 2 "--cpus 2"
between "$DISK" 850 1024 "--disk 1G"
is "$NETS" "lo " "--net none: only loopback"
is "$ROOT" overlay "the root is an overlay"
like "$OUT" "No space left" "a full disk says so"
like "$OUT" "still here" "and does no harm"
like "$OUT" "no name" "and no names are resolved"
unlike "$OUT" reached "and no host is reached"
is "$STATUS" 0 "status 0"

run_up --memory 600M --cpus 1 --disk none --net none "$P" -- sh -c "$report; touch /tmp/x \$HOME/x && echo written"
take
is "$CPUS" 1 "--cpus 1"
between "$DISK" 64 400 "--disk none: a part of the memory"
like "$OUT" written "and it can be written"
check "--disk none makes no disk" test -z "$(find "$XDG_STATE_HOME" -name '*.qcow2')"

# The network: a server on this machine's loopback, which a guest must not reach (docs/network.md; the whole policy is
# tested in tests/net).
python3 -u -c '
import http.server, os
class Handler (http.server.BaseHTTPRequestHandler):
    def do_GET (self):
        self.send_response (200)
        self.end_headers ()
        self.wfile.write (b"from the host " + self.path.encode ())
    def log_message (self, *args):
        pass
server = http.server.HTTPServer (("127.0.0.1", 0), Handler)
print (server.server_port, flush=True)
server.serve_forever ()' >"$T/port" 2>/dev/null &
server=$!
until_true 20 test -s "$T/port"
port=$(cat "$T/port")
cat >"$P/fetch.py" <<'EOS'
import sys, urllib.request
try:
    print (urllib.request.urlopen (sys.argv[1], timeout=60).read ().decode ())
except OSError as e:
    print ("no answer:", e)
EOS
is "$(/usr/bin/python3 "$P/fetch.py" "http://127.0.0.1:$port/x")" "from the host /x" "a server runs on the host's loopback"
run_up --net public "$P" -- sh -c "
ls /sys/class/net | wc -l
/usr/bin/python3 fetch.py http://10.0.2.2:$port/x
/usr/bin/python3 fetch.py http://127.0.0.1:$port/x
hostname -I
cat /etc/resolv.conf"
is "$(grep -c '^no answer:.*Connection refused' <<<"$OUT")" 2 "--net public: it is refused at 10.0.2.2, and is not the guest's own loopback"
unlike "$OUT" "from the host" "nothing of it comes inside"
like "$(cat "$XDG_STATE_HOME/vmctl/sandboxes/$(newest_id)/net.log")" "10.0.2.2" "and the log has the refusal"
like "$OUT" "10.0.2.15" "it has an address"
like "$OUT" nameserver "and a name server"
kill $server
wait $server 2>/dev/null

# What is refused, naming the option.
for bad in "--memory 0" "--memory 1" "--memory lots" "--memory -1" "--memory 9999G" "--cpus 0" "--cpus -1" "--cpus x" \
  "--cpus 100000" "--disk 0" "--disk 1" "--disk big" "--net somewhere" "--boot-timeout 0" "--boot-timeout x"; do
  # shellcheck disable=SC2086
  run "$VMCTL" up -q $bad "$P" -- true
  is "$STATUS" 125 "$bad is refused"
  like "$ERR" "${bad%% *}" "and named"
done
finish
