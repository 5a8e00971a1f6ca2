#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The Nix files: they are parsed, and the module for guests is evaluated with the options of NixOS that it sets.
. "$(dirname "$0")/lib.sh"
requires nix-instantiate
requires python3
top=$here/../..
export NIX_STATE_DIR="$tmp/nix/var" NIX_STORE_DIR="$tmp/nix/store" NIX_CONF_DIR="$tmp/nix/etc" NIX_REMOTE=
mkdir -p "$tmp/nix/etc"
echo 'build-users-group =' > "$tmp/nix/etc/nix.conf"

for file in flake.nix nix/default.nix nix/module.nix nix/package.nix tests/nix/eval.nix tests/nix/lib.nix; do
  run 0 nix-instantiate --parse "$top/$file"
done

# evaluate STATUS CONFIGURATION: $out is the result, as JSON
evaluate () {
  run "$1" nix-instantiate --eval --strict --json -E "import $top/tests/nix/eval.nix {
    ${VMCTL_NIX_LIB:+lib = import $VMCTL_NIX_LIB;}
    utilLinux = \"$tmp/util-linux\";
    system = $2;
  }"
}
get () { json "$out" "$1"; }

# Not enabled it sets nothing. Each option has a type and says what it is for.
evaluate 0 '{ }'
is off "$(get 'j["config"]["systemd"], j["config"]["fileSystems"], j["config"]["assertions"]')" \
  "({'mounts': [], 'services': {}, 'tmpfiles': {'rules': []}}, {}, [])"
is options "$(get 'sorted(j["options"])')" "['autologin', 'display', 'enable', 'network', 'package']"
is described "$(get '[n for n, o in j["options"].items() if not o["described"] or not o["type"]]')" "[]"
is defaults "$(get '[(n, j["config"]["vmctl"]["guest"][n]) for n in ("autologin", "enable", "network", "display")]')" \
  "[('autologin', True), ('enable', False), ('network', True), ('display', {'enable': False})]"

# What a guest is by default.
evaluate 0 '{ vmctl.guest.enable = true; }'
is failed "$(get 'j["failed"]')" "[]"
is root "$(get 'j["config"]["fileSystems"]')" "{'/': {'device': '/dev/disk/by-label/root', 'fsType': 'ext4'}}"
is loader "$(get 'j["config"]["boot"]["loader"]["grub"]["enable"]')" False
is network "$(get '[j["config"]["networking"][n] for n in ("hostName", "useDHCP", "dhcpcd", "resolvconf")]')" \
  "['', False, {'enable': False}, {'enable': False}]"
is hosts "$(get 'j["config"]["environment"]["etc"]["hosts"]["enable"], j["config"]["services"]["resolved"]["enable"]')" "(False, False)"
is manager "$(get 'j["config"]["networking"]["networkmanager"]')" "{'dns': 'none', 'unmanaged': ['driver:virtio_net']}"
is modules "$(get 'set("virtio_pci virtio_blk virtio_console virtio_net 9p 9pnet_virtio overlay ext4".split()) - set(j["config"]["boot"]["initrd"]["availableKernelModules"])')" "set()"
is services "$(get 'sorted(j["config"]["systemd"]["services"])')" "['serial-getty@ttyS0', 'vmctl-guest-agent']"
is agent "$(get 'j["config"]["systemd"]["services"]["vmctl-guest-agent"]["serviceConfig"]["ExecStart"]')" \
  "/nix/store/vmctl-agent/libexec/vmctl/vmctl-agent --service"
is unless "$(get 'j["config"]["systemd"]["services"]["vmctl-guest-agent"]["unitConfig"]["ConditionPathExists"]')" \
  "!/run/systemd/system/vmctl-agent.service"
is mounts "$(get '[(m["what"], m["where"], m["type"], m["unitConfig"]["ConditionPathExists"]) for m in j["config"]["systemd"]["mounts"]]')" \
  "[('vmctl.ro', '/run/vmctl/ro', '9p', '!/run/vmctl/meta'), ('/run/vmctl/ro/run/vmctl/meta', '/run/vmctl/meta', 'none', '!/run/vmctl/meta')]"
is alias "$(get 'j["config"]["systemd"]["tmpfiles"]["rules"]')" "['L /mnt/meta - - - - /run/vmctl/meta']"
is display "$(get 'j["config"]["services"]["xserver"]["enable"], j["config"]["environment"]["loginShellInit"]')" "(False, '')"
has "$(get 'j["config"]["services"]["udev"]["extraRules"]')" 'ATTR{name}=="vmctl.agent"'
has "$(get 'j["config"]["boot"]["postBootCommands"]')" "/nix/store/nix/bin/nix-store --load-db </nix-path-registration"
# These are the agent's own words, too (meta/format.h, meta/agent/image-units.c).
for word in '"vmctl.ro"' '"vmctl.agent"' '"/run/vmctl/meta"' '"/mnt/meta"'; do
  grep -qF "$word" "$top/meta/format.h" || fail "meta/format.h has not $word any more"
done
options=$(get 'j["config"]["systemd"]["mounts"][0]["options"]')
grep -qF "\"${options#ro,nosuid,nodev,}\"" "$top/meta/format.h" || fail "meta/format.h mounts the share with other options"
grep -qF systemd/system/vmctl-agent.service "$top/meta/agent/image-units.c" || fail "the agent's unit has another name"

# The login, run: as the user whom the meta dir names, if that user may become root.
is getty "$(get 'j["config"]["systemd"]["services"]["serial-getty@ttyS0"]["overrideStrategy"]')" asDropin
get 'j["config"]["systemd"]["services"]["serial-getty@ttyS0"]["serviceConfig"]["ExecStart"][1]' > "$tmp/exec"
[ "$(tail -n 1 "$tmp/exec")" = "</vmctl-getty> ttyS0" ] || fail "the terminal's name is not passed: $(tail -n 1 "$tmp/exec")"
sed '1s/^<vmctl-getty>//; $d' "$tmp/exec" | sed "s|/run/vmctl/meta|$tmp/meta|" > "$tmp/getty"
mkdir -p "$tmp/util-linux/sbin" "$tmp/meta"
printf '#!/bin/sh\necho "$@"\n' > "$tmp/util-linux/sbin/agetty"
chmod +x "$tmp/util-linux/sbin/agetty"
printf 'name=ann\nuid=1000\nshell=/bin/zsh\nroot=yes\n' > "$tmp/meta/identity"
run 0 env TERM=vt102 bash "$tmp/getty" ttyS0
is login "$out" "--login-program /bin/login --noclear --keep-baud --autologin ann ttyS0 vt102"
printf 'name=ann\nroot=no\n' > "$tmp/meta/identity"
run 0 env TERM=vt102 bash "$tmp/getty" ttyS0
is prompt "$out" "--login-program /bin/login --noclear --keep-baud ttyS0 vt102"
rm "$tmp/meta/identity"
run 0 env TERM=vt102 bash "$tmp/getty" ttyS0
is "no meta dir" "$out" "--login-program /bin/login --noclear --keep-baud ttyS0 vt102"

# Options change what they say. What somebody wrote wins over all but the disks.
evaluate 0 '{ vmctl.guest = { enable = true; display.enable = true; }; }'
is display "$(get '[j["config"]["services"]["xserver"][n] for n in ("enable", "displayManager", "windowManager")]')" \
  "[True, {'startx': {'enable': True}}, {'openbox': {'enable': True}}]"
has "$(get 'j["config"]["environment"]["loginShellInit"]')" "exec startx /nix/store/openbox/bin/openbox-session"
is services "$(get 'sorted(j["config"]["systemd"]["services"])')" "['getty@tty1', 'serial-getty@ttyS0', 'vmctl-guest-agent']"
evaluate 0 '{ vmctl.guest = { enable = true; autologin = false; network = false; }; nix.enable = false; }'
is services "$(get 'sorted(j["config"]["systemd"]["services"])')" "['vmctl-guest-agent']"
is network "$(get 'j["config"]["networking"]["useDHCP"], j["config"]["networking"]["hostName"], j["config"]["environment"]["etc"]["hosts"]["enable"]')" "(True, 'nixos', True)"
is registration "$(get 'j["config"]["boot"]["postBootCommands"]')" ""
evaluate 0 '{ lib, ... }: { config = {
  vmctl.guest.enable = true;
  networking.useDHCP = lib.mkDefault true; networking.hostName = "box"; boot.loader.grub.enable = true;
  fileSystems."/" = { device = "/dev/sda1"; fsType = "btrfs"; }; fileSystems."/home".device = "/dev/sda2";
  swapDevices = [ { device = "/dev/sda3"; } ];
  systemd.services.vmctl-guest-agent.environment.X = "1";
}; }'
is mine "$(get 'j["config"]["networking"]["useDHCP"], j["config"]["networking"]["hostName"], j["config"]["boot"]["loader"]["grub"]["enable"]')" "(False, 'box', True)"
is disks "$(get 'j["config"]["fileSystems"]["/"]["fsType"], list(j["config"]["fileSystems"]), j["config"]["swapDevices"]')" "('ext4', ['/'], [])"
is merged "$(get 'j["config"]["systemd"]["services"]["vmctl-guest-agent"]["environment"]')" "{'X': '1'}"

# What cannot be is refused, with the mend.
refused () { # CONFIGURATION WORDS
  evaluate 0 "{ vmctl.guest.enable = true; $1 }"
  is "number of refusals of $1" "$(get 'len(j["failed"])')" 1
  has "$(get 'j["failed"][0]')" "$2"
}
refused 'users.mutableUsers = false;' "users.mutableUsers is false, with which NixOS removes the user that vmctl adds; set it to true"
refused 'boot.isContainer = true;' "boot.isContainer is true"
refused 'system.etc.overlay.enable = true;' "system.etc.overlay.enable is true"
refused 'system.nixos-init.enable = true;' "system.nixos-init.enable is true"
refused 'vmctl.guest.display.enable = true; vmctl.guest.autologin = false;' "display.enable needs autologin"
evaluate 1 '{ vmctl.guest.enable = "yes"; }'
has "$err" "vmctl.guest.enable"
has "$err" "is not of type"
evaluate 1 '{ vmctl.guest.package = "/agent"; vmctl.guest.enable = true; }'
has "$err" "vmctl.guest.package"
evaluate 1 '{ vmctl.guest.enabel = true; }'
has "$err" "vmctl.guest.enabel"
has "$err" "does not exist"
