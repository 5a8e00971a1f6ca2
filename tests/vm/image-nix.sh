#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# An image of a system of a flake, built by the real Nix in a store of the test's own, and run. There is no nixpkgs where
# the tests run: the flake is made up, and what it builds has the shape of a NixOS system, with this host's kernel and
# busybox. What the module sets: tests/cli/nix.sh. What is refused: tests/cli/image-nix.sh.
. "${0%/*}/lib.sh"
for program in nix nix-store busybox python3; do
  command -v $program >/dev/null || skip_all "$program is missing"
done
kernel=$(ls /boot/vmlinuz-* 2>/dev/null | sed 's/.*vmlinuz-//' | while read -r v; do [ ! -e "/lib/modules/$v/modules.dep" ] || echo "$v"; done | tail -n 1)
[ -n "$kernel" ] && [ -r "/boot/vmlinuz-$kernel" ] || skip_all "no kernel in /boot that can be read"

export NIX_STORE_DIR="$T/nix/store" NIX_STATE_DIR="$T/nix/var" NIX_LOG_DIR="$T/nix/log" NIX_CONF_DIR="$T/nix/etc" NIX_REMOTE=
flake="$T/a flake"
mkdir -p "$NIX_CONF_DIR" "$flake/files" "$T/nixcache"
printf 'build-users-group =\nsubstituters =\nsandbox = false\n' >"$NIX_CONF_DIR/nix.conf"
cp "$(command -v busybox)" "$flake/files/busybox"
cp "/boot/vmlinuz-$kernel" "$flake/files/bzImage"
python3 "$vm_here/store.py" --modules "$kernel" "$flake/files/modules"

# The second stage of NixOS, in short: it makes /bin/sh and /etc of what is in the store, and then starts what systemd
# would. (With a real one the agent's unit lies below /run/systemd.)
cat >"$flake/flake.nix" <<END
{
  outputs =
    { self }:
    let
      build =
        name: script:
        derivation {
          inherit name;
          system = "x86_64-linux";
          builder = "/bin/sh";
          args = [ "-euc" "PATH=/usr/bin:/bin; \${script}" ];
          files = ./files;
        };
      tools = build "tools" ''
        mkdir -p \$out/bin
        cp \$files/busybox \$out/bin/busybox
        for program in sh cat chmod echo id ln mkdir mount poweroff sed sleep; do ln -s busybox \$out/bin/\$program; done
      '';
      kernel = build "linux" "mkdir \$out; cp \$files/bzImage \$out/bzImage";
      modules = build "linux-modules" "mkdir -p \$out/lib/modules; cp -r \$files/modules \$out/lib/modules/$kernel";
      toplevel = build "nixos-system-box-22.05" ''
        mkdir -p \$out/etc \$out/systemd/lib/systemd
        ln -s \${kernel}/bzImage \$out/kernel
        ln -s \${modules} \$out/kernel-modules
        ln -s \${tools} \$out/sw
        ln -s \${tools}/bin/busybox \$out/systemd/lib/systemd/systemd
        printf 22.05 >\$out/nixos-version
        printf 'ID=nixos\\nVERSION_ID="22.05"\\nPRETTY_NAME="NixOS 22.05 (made up)"\\n' >\$out/etc/os-release
        cat >\$out/init <<EOF
        #!\${tools}/bin/sh
        export PATH=\${tools}/bin
        mkdir -p /bin /etc /dev/pts
        mount -t devpts devpts /dev/pts
        ln -s \${tools}/bin/sh /bin/sh
        ln -s \$out/etc/os-release /etc/os-release
        echo root:x:0:0::/root:/bin/sh >>/etc/passwd
        ln -s \$out /run/current-system
        [ -e /run/systemd/system/basic.target.wants/vmctl-agent.service ] || echo "no unit for the agent" >/dev/console
        echo "second stage of \$out" >/dev/console
        /run/vmctl/service --service
        poweroff -f
        EOF
        chmod 0555 \$out/init
      '';
    in
    {
      nixosConfigurations.box.config.system.build.toplevel = toplevel;
      nixosConfigurations.none.config.system.build.toplevel = tools;
      nixosConfigurations.broken.config.system.build.toplevel = build "broken" "echo words of the builder >&2; exit 3";
      nixosConfigurations.wrong.config.system.build.toplevel = throw "words of the flake";
    };
}
END
# In its directory: this Nix may be one that takes no spaces in a reference.
build () {
  cd "$flake" && XDG_CACHE_HOME="$T/nixcache" run "$VMCTL" image build "$@"
  cd "$P" || exit 1
}
get () { "$VMCTL" image inspect "$1" --json | python3 -ISc 'import json, sys; j = json.load(sys.stdin); print(eval(sys.argv[1]))' "$2"; }

# Refused, in Nix's own words.
build "nix:.#nosuch"
is "$STATUS" 1 "a system that is not there"
like "$ERR" "does not provide attribute" "Nix says so"
like "$ERR" "nix flake show" "and vmctl how to see what there is"
build "nix:.#wrong"
like "$ERR" "words of the flake" "an error of the flake"
build "nix:.#broken"
like "$ERR" "words of the builder" "an error of a builder"
build "nix:.#none"
like "$ERR" "is no NixOS system: it has no 'init'" "what is no system"
build "nix:$T#box"
like "$ERR" "flake.nix" "no flake"
build "nix:path:$flake#box"
like "$ERR" "nix:." "a reference that Nix does not take"
is "$(ls -A "$XDG_DATA_HOME/vmctl/images/names" 2>/dev/null; find "$XDG_DATA_HOME" -name '.part-*')" "" "nothing is left of those"

# Built.
build "nix:.#box" --size 256M
is "$STATUS" 0 "a system is built"
note "$ERR"
[ "$STATUS" = 0 ] || finish
is "$(get box 'j["os-id"], j["os-name"], j["init-kind"], j["init"], j["kernel"]')" \
  "('nixos', 'NixOS 22.05 (made up)', 'systemd', '/nix/var/nix/profiles/system/init', '$kernel')" "what is in it"
build "nix:.#nixosConfigurations.box" --name again
like "$ERR" "there already" "built again it costs nothing"
is "$(get box 'j["names"]')" "['again', 'box']" "but a name"
like "$("$VMCTL" image list)" "nix:.#box" "the list says where it comes from"

# Run: without a word about the init or the kernel. The system is found by its PATH, and nothing of the host.
run "$VMCTL" plan --image box "$P"
like "$OUT" "$kernel, the image's own" "its own kernel is booted"
echo here >"$P/file"
start box --image box --memory 512M "$P" -- sleep infinity
run "$VMCTL" exec box -- sh -c 'cat file; id -un; cat /proc/sys/kernel/osrelease; sed -n "s/^ID=//p" /etc/os-release; echo made >made; [ -e /usr/bin/env ] || echo nothing of the host'
is "$STATUS" 0 "a command runs in it"
is "$OUT" "here
$ME
$kernel
nixos
nothing of the host" "in the project, as the user, on its kernel, after its init"
run "$VMCTL" exec box -- sh -c 'echo $PATH $SHELL'
like "$OUT" "/run/wrappers/bin:$MY_HOME/.nix-profile/bin:/nix/var/nix/profiles/default/bin:/run/current-system/sw/bin:/usr/bin:/bin /bin/sh" "with the search path of NixOS"
is "$(cat "$P/made" 2>/dev/null)" made "what it writes in the project is there"
run "$VMCTL" exec box -- cat /nix-path-registration
is "$(printf '%s\n' "$OUT" | sed -n "s|^$NIX_STORE_DIR/[^/-]*-||p" | grep -v "[.]drv$" | sort -u)" "linux
linux-modules
nixos-system-box-22.05
tools" "what Nix knows of the closure is in it"
check "a shell, where the host's is not there" drive "$VMCTL" enter box <<'EOS'
expect [$#] $
send echo $((40 + 2)) $0\r
expect 42 /bin/sh
send exit 7\r
status 7
EOS
like "$("$VMCTL" logs --console box)" "second stage of $NIX_STORE_DIR/" "its second stage ran"
unlike "$("$VMCTL" logs --console box)" "no unit for the agent" "and the agent's unit was there"
run "$VMCTL" stop box
is "$STATUS" 0 "stop"
finish
