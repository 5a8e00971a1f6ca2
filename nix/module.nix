# SPDX-License-Identifier: LGPL-2.1-or-later
# A NixOS system that vmctl runs as an image:
#
#   imports = [ vmctl.nixosModules.guest ];      # or ./nix/module.nix
#   vmctl.guest.enable = true;
#
#   vmctl image build nix:.#NAME && vmctl up --image NAME ./project
#
# vmctl starts the system's init by its own initramfs, adds the user to /etc/passwd, mounts the project, and brings its
# agent along (docs/images.md, "NixOS"). What is here keeps NixOS from undoing that, and has what only NixOS can do.
# Options of NixOS are set so that the system's own configuration still wins, but for disks, which a guest has not.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.vmctl.guest;

  # Before other modules' defaults (1000), such as those of a hardware-configuration.nix, and behind what somebody wrote.
  guestDefault = lib.mkOverride 900;

  metaDir = "/run/vmctl/meta";

  # A login, as the user if that is whom the sandbox lets become root anyway: the meta dir says so.
  getty = pkgs.writeShellScript "vmctl-getty" ''
    name= root=
    while IFS='=' read -r key value; do
      case $key in
      name) name=$value ;;
      root) root=$value ;;
      esac
    done <${metaDir}/identity
    set -- "$@" "$TERM"
    if [ "$root" = yes ] && [ -n "$name" ]; then
      set -- --autologin "$name" "$@"
    fi
    exec ${pkgs.util-linux}/sbin/agetty --login-program ${config.services.getty.loginProgram} --noclear --keep-baud "$@"
  '';

  gettyOn = line: {
    overrideStrategy = "asDropin"; # it is an instance of a template
    serviceConfig.ExecStart = [
      ""
      "${getty} ${line}"
    ];
  };

  # Where vmctl has started the system, all this is there already.
  unlessInjected = "!${metaDir}";
in
{
  options.vmctl.guest = {
    enable = lib.mkEnableOption "what a NixOS system needs to be run by vmctl as an image";

    package = lib.mkOption {
      type = lib.types.package;
      default = (pkgs.callPackage ./package.nix { }).agent;
      defaultText = lib.literalExpression "(pkgs.callPackage ./package.nix { }).agent";
      description = ''
        The package with vmctl's agent, `libexec/vmctl/vmctl-agent`. It is used only if the system is started by
        something else than vmctl's initramfs, which brings an agent of its own.
      '';
    };

    autologin = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = ''
        Whether the user of the sandbox is logged in on the serial console (`vmctl console`), unless the sandbox
        was started with `--no-root`.
      '';
    };

    network = lib.mkOption {
      type = lib.types.bool;
      default = true;
      description = ''
        Whether the network is left to vmctl: the address that its agent has given the card, and the `/etc/hosts`,
        `/etc/hostname` and `/etc/resolv.conf` that it has written.
      '';
    };

    display.enable = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = ''
        Whether an X server and openbox start on the first terminal, as the user, where the machine has a screen.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = config.users.mutableUsers;
        message = "vmctl.guest: users.mutableUsers is false, with which NixOS removes the user that vmctl adds; set it to true.";
      }
      {
        assertion = !config.boot.isContainer;
        message = "vmctl.guest: boot.isContainer is true, and such a system has no kernel to boot; set it to false.";
      }
      {
        assertion = !(config.system.etc.overlay.enable or false);
        message = "vmctl.guest: system.etc.overlay.enable is true: it mounts /etc in NixOS's own initrd, which vmctl does not run; set it to false.";
      }
      {
        assertion = !(config.system.nixos-init.enable or false);
        message = "vmctl.guest: system.nixos-init.enable is true: it sets the system up in NixOS's own initrd, which vmctl does not run; set it to false.";
      }
      {
        assertion = cfg.display.enable -> cfg.autologin;
        message = "vmctl.guest: display.enable needs autologin: the X server is started by the user's login on the first terminal.";
      }
    ];

    # The disk is made by vmctl: one ext4 file system with this label. The machine's own disks are not there.
    fileSystems = lib.mkVMOverride {
      "/" = {
        device = "/dev/disk/by-label/root";
        fsType = "ext4";
      };
    };
    swapDevices = lib.mkVMOverride [ ];
    boot.loader.grub.enable = guestDefault false;

    # For a start by NixOS's own initrd; vmctl's takes what it needs from the same kernel.
    boot.initrd.availableKernelModules = [
      "virtio_pci"
      "virtio_blk"
      "virtio_console"
      "virtio_net"
      "virtio_balloon"
      "9p"
      "9pnet_virtio"
      "overlay"
      "ext4"
    ];
    boot.kernelParams = [ "console=ttyS0" ];

    # The store's database is not in the image, as it is not a part of the closure. Nix inside needs it.
    boot.postBootCommands = lib.mkIf config.nix.enable ''
      if [ -f /nix-path-registration ]; then
        ${config.nix.package.out}/bin/nix-store --load-db </nix-path-registration && rm -f /nix-path-registration
      fi
    '';

    networking = lib.mkIf cfg.network {
      hostName = guestDefault "";
      useDHCP = guestDefault false;
      dhcpcd.enable = guestDefault false;
      resolvconf.enable = guestDefault false;
      # Where it is enabled, for the machine that the configuration is also for.
      networkmanager.unmanaged = [ "driver:virtio_net" ];
      networkmanager.dns = guestDefault "none";
    };
    services.resolved.enable = lib.mkIf cfg.network (guestDefault false);
    environment.etc.hosts.enable = lib.mkIf cfg.network (guestDefault false);

    systemd.services = lib.mkMerge [
      (lib.mkIf cfg.autologin { "serial-getty@ttyS0" = gettyOn "ttyS0"; })
      (lib.mkIf cfg.display.enable { "getty@tty1" = gettyOn "tty1"; })
      {
        vmctl-guest-agent = {
          description = "vmctl's agent, and the commands that it runs";
          unitConfig = {
            ConditionPathExists = "!/run/systemd/system/vmctl-agent.service";
            RequiresMountsFor = metaDir;
          };
          restartIfChanged = false;
          serviceConfig = {
            ExecStart = "${cfg.package}/libexec/vmctl/vmctl-agent --service";
            KillMode = "mixed";
            TimeoutStopSec = 15;
            OOMPolicy = "continue";
            TasksMax = "infinity";
            Delegate = true;
          };
        };
      }
    ];

    # The agent's port has come.
    services.udev.extraRules = ''
      SUBSYSTEM=="virtio-ports", ATTR{name}=="vmctl.agent", TAG+="systemd", ENV{SYSTEMD_WANTS}+="vmctl-guest-agent.service"
    '';

    # The meta dir is in the read-only share.
    systemd.mounts = [
      {
        what = "vmctl.ro";
        where = "/run/vmctl/ro";
        type = "9p";
        options = "ro,nosuid,nodev,trans=virtio,version=9p2000.L,msize=65536,cache=loose";
        unitConfig.ConditionPathExists = unlessInjected;
      }
      {
        what = "/run/vmctl/ro${metaDir}";
        where = metaDir;
        type = "none";
        options = "bind,ro";
        unitConfig.ConditionPathExists = unlessInjected;
      }
    ];
    systemd.tmpfiles.rules = [ "L /mnt/meta - - - - ${metaDir}" ];

    # `vmctl image inspect` says whether there is an agent.
    environment.systemPackages = [ cfg.package ];
    environment.pathsToLink = [ "/libexec/vmctl" ];

    services.xserver = lib.mkIf cfg.display.enable {
      enable = true;
      displayManager.startx.enable = true;
      windowManager.openbox.enable = true;
    };
    environment.loginShellInit = lib.mkIf cfg.display.enable ''
      if [ -z "$DISPLAY" ] && [ "$(tty)" = /dev/tty1 ] && [ -e /dev/dri/card0 ]; then
        exec startx ${pkgs.openbox}/bin/openbox-session
      fi
    '';
  };
}
