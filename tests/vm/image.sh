#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# --image: a Debian with systemd, and a tiny root without, as guests. They are as the host's own tree is for a command,
# and a whole distribution otherwise; and the image is what it was.
images=$(bash "${0%/*}/make-images.sh" 2>&1) || { echo "1..0 # SKIP $images"; exit 0; }
. "${0%/*}/lib.sh"

store=$XDG_DATA_HOME/vmctl/images
mkdir -p -m 0700 "$XDG_DATA_HOME/vmctl" "$store"
put () { # NAME DISK MEMBER=VALUE...
  python3 "$vm_here/store.py" "$store" "$@"
}
check "a Debian is imported" "$VMCTL" image import -q --name debian "$images/debian.qcow2"
debian=$(readlink -f "$store/names/debian")/disk.qcow2
tiny=$(put tiny "$images/tiny.qcow2" partition=1)/disk.qcow2
before=$(sha256sum "$debian" "$tiny")

# Refused, and nothing is left of it.
run "$VMCTL" up -q --image nosuch "$P" -- true
is "$STATUS" 125 "an image that is not there is refused"
like "$ERR" "nosuch" "by its name"
for driver in bwrap nspawn; do
  run "$VMCTL" up -q --driver $driver --image debian "$P" -- true
  is "$STATUS" 125 "$driver runs no image"
  like "$ERR" "--driver qemu" "and the error says what does"
done
put arm "$images/tiny.qcow2" partition=1 arch=aarch64 >"$T/arm"
run_up --image arm "$P" -- true
is "$STATUS" 125 "an image for other processors is refused"
like "$ERR" "aarch64" "and they are named"
put changed "$images/tiny.qcow2" partition=1 origin=changed >"$T/changed"
touch -d yesterday "$(cat "$T/changed")/disk.qcow2"
run_up --image changed "$P" -- true
is "$STATUS" 125 "an image whose disk was changed is refused"
like "$ERR" "vmctl image verify" "and how to mend it"
chmod 0666 "$(cat "$T/changed")/disk.qcow2"
run_up --image changed "$P" -- true
like "$ERR" "can be written by others" "nor one that others can write"
run_up --image debian --serial "$P" -- true
like "$ERR" "vmctl console" "--serial is refused: the console is systemd's"

# Without systemd: the agent is the init, and the root is on a partition.
mkdir "$P/sub"
echo here >"$P/file"
run_up --image tiny "$P" -- /bin/sh -c 'pwd; id -un; cat file; cat /proc/1/comm; touch made /bin/made; [ -e /usr/bin/env ] || echo tiny; exit 9'
is "$STATUS" 9 "tiny: the exit status"
is "$OUT" "$P
$ME
here
init
tiny" "tiny: the project, the user, and nothing of the host's programs"
is "$(stat -c %u "$P/made" 2>/dev/null)" "$(id -u)" "tiny: what is written to the project is the user's"

run "$VMCTL" plan --image tiny "$P"
like "$OUT" ", this host's: the image has none" "tiny: that the kernel is the host's is said"

# With a kernel of its own, which the host's need not be.
kernel=$(ls /boot/vmlinuz-* 2>/dev/null | sed 's/.*vmlinuz-//' | while read -r v; do [ ! -e "/lib/modules/$v/modules.dep" ] || echo "$v"; done | head -n 1)
if [ -n "$kernel" ] && [ -r "/boot/vmlinuz-$kernel" ]; then
  put own "$images/tiny.qcow2" partition=1 kernel="$kernel" >"$T/own"
  run "$VMCTL" plan --image own "$P"
  like "$OUT" "$kernel, the image's own" "own kernel: said"
  unlike "$OUT" "/lib/modules" "own kernel: the host's modules are not let in"
  run_up --image own "$P" -- /bin/cat /proc/sys/kernel/osrelease
  is "$OUT" "$kernel" "own kernel: it is booted"
  rm "$(cat "$T/own")/kernel/boot/vmlinuz-$kernel"
  run_up --image own "$P" -- /bin/true
  is "$STATUS" 125 "own kernel: the host's does not take its place"
else
  skip "no kernel in /boot that can be read" "own kernel"
fi

# With systemd.
cat >"$P/probe" <<'END'
#!/bin/sh
echo "pid1 $(cat /proc/1/comm)"
echo "user $(id -un) $(id -u)"
echo "in $(pwd)"
echo "home $HOME $(stat -c %U "$HOME")"
echo "state $(systemctl is-system-running --wait)"
echo "failed $(systemctl --failed --no-legend --plain | tr '\n' ' ')"
echo "unit $(systemctl show -p ActiveState --value vmctl-agent.service)"
echo "group $(cat /proc/self/cgroup)"
echo "name $(cat /proc/sys/kernel/hostname)"
echo "machine $(cat /etc/machine-id)"
systemctl status vmctl-agent.service >/dev/null && echo "status works"
systemd-cat -t probe echo "a line for the journal"
sudo journalctl --sync
echo "journal $(sudo journalctl -b -t probe -o cat)"
echo "mount $(findmnt -no FSTYPE /)"
echo "address $(ip -4 -o addr show scope global | sed 's/.*inet \([^ ]*\) .*/\1/')"
echo "dns $(sed -n 's/^nameserver //p' /etc/resolv.conf)"
echo "socket $(perl -MSocket -e 'socket (S, AF_UNIX, SOCK_STREAM, 0); connect (S, sockaddr_un ($ARGV[0])) or die; print <S>' /run/served)"
END
chmod +x "$P/probe"
python3 -c '
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
while True:
    client, _ = server.accept()
    client.sendall(b"of the host")
    client.close()' "$T/served" &
server=$!
vm_more_tidy () { kill $server 2>/dev/null; }
until_true 60 python3 -c "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.recv(1)" "$T/served"
start image --image debian --memory 1G --socket "$T/served:/run/served" "$P" -- sleep infinity
inside () {
  run "$VMCTL" exec image -- sh -c "$1"
}
run "$VMCTL" exec image -- ./probe
is "$STATUS" 0 "debian: a command runs"
line () { # WORD WANTED DESCRIPTION
  is "$(printf '%s\n' "$OUT" | sed -n "s/^$1 //p")" "$2" "debian: $3"
}
line pid1 systemd "systemd is the first process"
line user "$ME $(id -u)" "the user, by name and number"
line in "$P" "in the project, at the host's path"
line home "$MY_HOME $ME" "the home is the user's"
line state running "it comes up whole"
line failed "" "nothing failed"
line unit active "the agent is a service"
line group "0::/system.slice/vmctl-agent.service" "commands are in its control group"
line name "$(hostname)" "the host's name"
line machine "$(record "$ID" id | python3 -c 'import hashlib, sys; print(hashlib.sha256(("vmctl machine-id " + sys.stdin.read().strip()).encode()).hexdigest()[:32])')" "a machine id of its own"
line status works "systemctl status"
line journal "a line for the journal" "the journal has what was said"
line mount ext4 "the root is the image's file system"
line address 10.0.2.15/24 "the network"
line dns 10.0.2.3 "the name server"
line socket "of the host" "a socket that was let in"
check "debian: a terminal" drive 24x80 "$VMCTL" exec image -- sh -c 'tty; stty size; read x' <<'EOS'
expect ^/dev/pts/[0-9]+.*\n24 80
send \r
status 0
EOS
login () { "$VMCTL" logs --console image | grep -qF "$ME (automatic login)"; }
check "debian: the user is logged in on the console" until_true 60 login
mkdir "$T/more"
echo plugged >"$T/more/file"
run "$VMCTL" plug image dir "$T/more:/mnt/plugged"
is "$STATUS" 0 "debian: a directory is plugged"
inside 'cat /mnt/plugged/file'
is "$OUT" plugged "debian: and is there"
kill -KILL "$(pid_of "$ID" supervisor)"
inside 'echo still $(cat /proc/1/comm)'
is "$OUT" "still systemd" "debian: another supervisor takes over"
is "$(find "$XDG_STATE_HOME" -size +4M)" "" "debian: the overlay has no name on the host"
run "$VMCTL" up -q --image debian "$P" -- cat /proc/1/comm
is "$OUT" systemd "debian: up joins it"
run "$VMCTL" up -q --image tiny "$P" -- true
is "$STATUS" 125 "debian: but not with another image"
like "$("$VMCTL" status image)" "debian" "debian: status names the image"
inside 'exit 42'
is "$STATUS" 42 "debian: the exit status"
check "debian: the protected paths are protected" test ! -e "$P/.envrc/x"
inside 'echo x >.envrc/x; sudo sh -c "echo x >.envrc/x"; ls -A .envrc'
is "$OUT" "" "debian: for root too"

# Root inside installs packages: one that makes an account and brings a service.
mkdir -p "$P/deb/DEBIAN" "$P/deb/lib/systemd/system" "$P/repo"
printf 'Package: vmctl-probe\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@example.org>\nDescription: a test\n' >"$P/deb/DEBIAN/control"
printf '#!/bin/sh\nset -e\nuseradd --system vmctl-made\nsystemctl daemon-reload\nsystemctl start vmctl-probe.service\n' >"$P/deb/DEBIAN/postinst"
printf '[Service]\nUser=vmctl-made\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c "exec id -un"\n' >"$P/deb/lib/systemd/system/vmctl-probe.service"
chmod 0755 "$P/deb/DEBIAN/postinst"
if dpkg-deb --root-owner-group -b "$P/deb" "$P/repo/vmctl-probe_1_all.deb" >/dev/null 2>&1; then
  (cd "$P/repo" && { cat ../deb/DEBIAN/control; echo "Filename: ./vmctl-probe_1_all.deb"; echo "Size: $(stat -c %s ./*.deb)"
    echo "SHA256: $(sha256sum ./*.deb | cut -d ' ' -f 1)"; } >Packages)
  echo "deb [trusted=yes] file:$P/repo ./" >"$P/sources.list"
  apt="-o Dir::Etc::sourcelist=$P/sources.list -o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root"
  inside "sudo apt-get -qq $apt update && sudo DEBIAN_FRONTEND=noninteractive apt-get -qq $apt install vmctl-probe >/dev/null 2>apt.err; echo \$?; sudo journalctl -u vmctl-probe -o cat | grep made; id -un vmctl-made; id -un"
  is "$OUT" "0
vmctl-made
vmctl-made
$ME" "debian: apt-get installs from a mirror, with an account and a service"
else
  skip "dpkg-deb is missing" "debian: apt-get installs from a mirror"
fi

# The end is systemd's.
run "$VMCTL" stop --time 200 image
is "$STATUS" 0 "debian: stop"
id=$(newest_id)
is "$(record "$id" reason.kind)" stopped "debian: for the reason that it was stopped"
like "$(cat "$XDG_STATE_HOME/vmctl/sandboxes/$id/supervisor.log")" '"reason": "guest-shutdown"' "debian: by its own shutting down"
check_not "debian: it did not have to be told to quit" grep -q 'stop: quit' "$XDG_STATE_HOME/vmctl/sandboxes/$id/supervisor.log"

# Failures are told.
put broken "$images/tiny.qcow2" partition=7 >"$T/broken"
run_up --image broken "$P" -- true
is "$STATUS" 125 "a root that is not there: refused"
like "$ERR" "cannot mount the image's root" "and said so"
put noinit "$images/tiny.qcow2" partition=1 init=/nosuch/init init-kind=systemd >"$T/noinit"
run_up --image noinit "$P" -- true
is "$STATUS" 125 "an init that is not there: refused"
like "$ERR" "/nosuch/init" "and named"

kill $server
is "$(sha256sum "$debian" "$tiny")" "$before" "the images are what they were"
check "and can be removed: nobody has them open" until_true 60 flock -n -x "$debian" true
finish
