#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# plug, unplug and devices, on the null driver, into which ports can be plugged and nothing else. Machines are in
# tests/vm/plug.sh, the other drivers in tests/drivers/checks_plug.py.
. "$(dirname "$0")/lib.sh"
requires python3

run 2 "$V" plug
run 2 "$V" plug one
run 2 "$V" plug one teapot x
has "$err" "'teapot' cannot be plugged"
run 2 "$V" plug one port 80
has "$err" "[ADDRESS:]HOST:GUEST"
run 2 "$V" plug one port 80:80/icmp
for what in none host internet allow:http://a.example; do
  run 2 "$V" plug one nic "$what"
  has "$err" "nic: "
done
run 1 "$V" plug nobody port 8080:80
has "$err" "no running sandbox 'nobody'"
run 1 "$V" devices
run 2 "$V" unplug one
run 1 "$V" unplug nobody dir0

cat >"$tmp/echo.py" <<'END'
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 120)
s.sendall(b"hello")
s.shutdown(socket.SHUT_WR)
answer = s.makefile().read()
print(answer)
sys.exit(answer == "")
END
cat >"$tmp/serve.py" <<'END'
import socket, sys
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen()
print(s.getsockname()[1], flush=True)
while True:
    c, _ = s.accept()
    c.sendall(c.makefile("rb").read().upper())
    c.close()
END
mkfifo "$tmp/port"
python3 "$tmp/serve.py" >"$tmp/port" &
server=$!
on_exit "kill $server"
read -r inside <"$tmp/port"
outside=$(free_port)

run 0 up -d -n one -- sleep 1000
run 0 "$V" plug one port "$outside:$inside" --id web --json
is "id" "$(json "$out" 'j["id"]')" web
run 0 python3 "$tmp/echo.py" "$outside"
is "through it" "$out" HELLO
run 0 "$V" devices one
has "$out" "127.0.0.1:$outside"
run 0 "$V" devices one --json
is "devices" "$(json "$out" '[(d["id"], d["kind"], d["guest-port"]) for d in j]')" "[('web', 'port', $inside)]"
run 0 "$V" status one --json
is "on record" "$(json "$out" '[d["id"] for d in j["devices"]]')" "['web']"

# The same once more, by steps.
run 0 "$V" plug one port "$outside:$inside" --dry-run
has "$out" "here    forward"
run 0 "$V" plug one port "$outside:$inside" --dry-run --json
is "steps" "$(json "$out" 'len(j["steps"])')" 1

# What is refused changes nothing.
run 1 "$V" plug one port "$outside:$inside"
has "$err" "in use"
run 1 "$V" plug one port 1:1 --id web
has "$err" "already"
run 1 "$V" plug one port 1:1 --id Web
has "$err" "no id"
for what in "dir /usr" "disk 1G" "serial x" "usb 1.1" "cpu 1" "mem 1G" nic "nic public"; do
  # shellcheck disable=SC2086
  run 1 "$V" plug one $what
  has "$err" "null driver"
done
run 1 env VMCTL_PLUGFAIL=1 "$V" plug one port "$(free_port):$inside"
has "$err" "behind step 1"
run 1 "$V" unplug one nothing
has "$err" "vmctl devices"
run 0 "$V" devices one --json
is "devices" "$(json "$out" '[d["id"] for d in j]')" "['web']"

# A port that nobody serves ends at once.
free=$(free_port)
run 0 "$V" plug one port "$free:1"
run 1 python3 "$tmp/echo.py" "$free"
run 0 "$V" unplug one web port0
run 1 python3 "$tmp/echo.py" "$outside"
run 0 "$V" devices one
has "$err" "nothing was plugged"

# From the start; a plug that cannot be had is the end of it.
run 0 up --new --plug "port=$outside:$inside" -- python3 "$tmp/echo.py" "$outside"
has "$out" HELLO
run 125 up --new --plug "port=$inside:1" -- true
has "$err" "in use"
# A supervisor that is killed when all of it is there: who takes over listens, and the command runs.
VMCTL_FAILPOINT=plugged "$V" up -q --driver null -d --new -n two --plug "port=$outside:$inside" . -- \
  sh -c 'echo ran >ran; exec sleep 1000' >"$tmp/.out" 2>&1
until_has ran ls
until_has HELLO sh -c "'$V' list >/dev/null 2>&1; python3 '$tmp/echo.py' $outside || true"
run 0 "$V" stop two
# One that is killed before: the command has not started, and never does.
VMCTL_FAILPOINT=plugging "$V" up -q --driver null -d --new -n three --plug "port=$outside:$inside" . -- \
  sh -c 'echo ran >ran-early; exec sleep 1000' >"$tmp/.out" 2>&1
until_has "before its command could start" sh -c "'$V' list --all 2>&1; cat '$XDG_STATE_HOME'/vmctl/sandboxes/*/record.json"
is "the command has not run" "$(ls ran-early 2>/dev/null)" ""
# A card does not open what the project's own configuration, or --net, has closed.
run 125 up --new --net none --plug nic -- true
has "$err" "nic=public"
run 2 "$V" plan --driver null --net none --plug nic
has "$err" "nic=public"
printf '[defaults]\nnet=none\n' >.vmctl.conf
run 2 "$V" plan --driver null --plug nic
has "$err" "nic=public"
run 0 "$V" plan --driver null --plug nic=allow:@npm
run 2 "$V" plan --driver null --plug nic=allow:@nothing
has "$err" "@nothing"
rm .vmctl.conf
run 125 up --new --plug dir -- true
has "$err" "--plug"
run 125 up --new --root-ports 0 -- true
has "$err" "--root-ports"
run 0 "$V" stop one
