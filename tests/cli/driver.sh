#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Which driver: never a weaker one in silence, and none that is weaker than anybody asked for.
. "$(dirname "$0")/lib.sh"
requires python3
etc=${VMCTL_TEST_SYSCONFDIR:?run the tests with meson test}

# Two wishes that exclude each other; the one who asks for more is named.
run 125 up --min-isolation namespace -- true
has "$err" "--driver: the isolation of 'null' is 'none'"
has "$err" "--min-isolation asks for 'namespace' at least"
run 125 up --min-isolation hypervisor -- true
has "$err" "'hypervisor' is not an isolation; write 'vm', 'container' or 'namespace'"
run 125 up --min-isolation none -- true
run 0 up -- true

# The user's file; the command line cannot weaken it.
mkdir "$tmp/config/vmctl"
printf '[defaults]\nmin-isolation=vm\n' > "$tmp/config/vmctl/config"
run 125 up --min-isolation namespace -- true
has "$err" "min-isolation in your configuration asks for 'vm'"
run 0 up --no-config -- true
rm "$tmp/config/vmctl/config"

# The project's: it may only raise.
printf '[defaults]\nmin-isolation=container\n' > .vmctl.conf
run 125 up -- true
has "$err" "min-isolation in the project's .vmctl.conf asks for 'container'"
run 125 up --min-isolation vm -- true
has "$err" "--min-isolation asks for 'vm'"
run 125 "$V" up --driver null --min-isolation vm -- true
has "$err" "asked for min-isolation=container, which was ignored"
rm .vmctl.conf

# A sandbox that runs is joined only if it is isolated as much as is asked for.
run 0 up -d -- sleep 1000
run 125 "$V" up --min-isolation vm -- true
has "$err" "the isolation of the sandbox that runs on this project is 'none'"
has "$err" "--new"
run 0 "$V" up -q -- true
run 0 "$V" stop

# The system's policy, which neither the user's file nor --no-config weakens. In a mount namespace of our own.
if [ -d "$(dirname "$etc")" ] && unshare -Urm mount -t tmpfs none "$(dirname "$etc")" 2> /dev/null; then
  cat > "$tmp/policy" << SH
#!/bin/sh
mount -t tmpfs none "$(dirname "$etc")" && mkdir "$etc" || exit 99
printf '[defaults]\\nmin-isolation=namespace\\n' > "$etc/config"
exec "\$@"
SH
  chmod +x "$tmp/policy"
  run 125 unshare -Urm "$tmp/policy" "$V" up --driver null -- true
  has "$err" "min-isolation in the system's configuration ($etc/config) asks for 'namespace'"
  run 125 unshare -Urm "$tmp/policy" "$V" up --driver null --no-config -- true
  has "$err" "the system's configuration"
  mkdir -p "$tmp/config/vmctl"
  printf '[defaults]\ndriver=null\n' > "$tmp/config/vmctl/config"
  run 125 unshare -Urm "$tmp/policy" "$V" up -- true
  has "$err" "the system's configuration"
  rm "$tmp/config/vmctl/config"
  # That of /etc counts also for a vmctl that is installed elsewhere, but for nothing more.
  if [ "$etc" != /etc/vmctl ]; then
    mkdir -p "$tmp/etc/vmctl"
    cp /etc/passwd /etc/group "$tmp/etc"
    printf '[defaults]\nmin-isolation=namespace\nmemory=1G\n' > "$tmp/etc/vmctl/config"
    run 125 unshare -Urm sh -c 'mount --bind "$0" /etc && exec "$@"' "$tmp/etc" "$V" up --driver null -- true
    has "$err" "min-isolation in the system's configuration (/etc/vmctl/config) asks for 'namespace'"
  fi
else
  echo "note: no mount namespace here: the system's policy was not tried"
fi

# doctor names every driver, and what auto takes is the first that can be used.
"$V" doctor > "$tmp/doctor"
out=$(cat "$tmp/doctor")
for driver in $("$V" complete driver | cut -f 1); do
  case $driver in
  auto | null) ;;
  *) grep -Eq "^(yes|no) +$driver " "$tmp/doctor" || fail "doctor says nothing about $driver" ;;
  esac
done
hasnt "$out" "null "
out=$("$V" doctor --json)
first=$(json "$out" '[d["name"] for d in j["drivers"] if d["usable"] and d["isolation"] != "none"][:1]')
if [ "$first" = "[]" ]; then
  run 1 "$V" plan --json
  has "$err" "no driver can work here"
else
  run 0 "$V" plan --json
  is "the driver" "['$(json "$out" 'j["plan"]["driver"]')']" "$first"
  run 0 "$V" plan
  has "$out" "driver     $(echo "$first" | tr -d "[']"),"
fi

# Each stronger driver that was passed over has its reason in the plan, and a line of `up` says so even with -q.
mkdir "$tmp/bin"
printf '#!/bin/sh\necho "QEMU emulator version 6.2.0"\n' > "$tmp/bin/qemu-system-x86_64"
chmod +x "$tmp/bin/qemu-system-x86_64"
PATH="$tmp/bin:$PATH"
"$V" plan --json > "$tmp/plan" 2> "$tmp/why"
if [ $? -eq 0 ]; then
  out=$(cat "$tmp/plan")
  has "$(json "$out" 'j["plan"].get("passed-over", [""])[0]')" "qemu: '$tmp/bin/qemu-system-x86_64' is QEMU 6.2.0, which is too old; install"
  taken=$(json "$out" 'j["plan"]["driver"]')
  run 0 "$V" up -q -d -n weaker -- true
  has "$err" "vmctl: driver $taken ("
  has "$err" "not qemu: '$tmp/bin/qemu-system-x86_64' is QEMU 6.2.0, which is too old"
  run 0 "$V" stop weaker
  run 0 "$V" status weaker
  has "$out" "not qemu: '$tmp/bin/qemu-system-x86_64' is QEMU 6.2.0"
  run 0 "$V" list --all --json
  is "the reason is on record" "$(json "$out" '[r["passed-over"][0][:5] for r in j if r["name"] == "weaker"]')" "['qemu:']"
else
  has "$(cat "$tmp/why")" "no driver can work here: qemu: '$tmp/bin/qemu-system-x86_64' is QEMU 6.2.0, which is too old"
fi
run 125 "$V" up --min-isolation vm -- true
has "$err" "no driver reaches the isolation 'vm' here, which --min-isolation asks for: qemu:"
has "$err" "install QEMU 7.2"
