# SPDX-License-Identifier: LGPL-2.1-or-later
# nix/module.nix with `system`, a configuration: what the options of NixOS that it sets become. Those are declared here,
# with the types that NixOS gives them.
{
  lib ? import ./lib.nix,
  system,
  utilLinux ? "/util-linux",
}:

let
  inherit (lib.types)
    anything
    attrsOf
    bool
    lines
    listOf
    package
    str
    ;
  withDefault = type: default: lib.mkOption { inherit type default; };

  fakePackage = name: {
    type = "derivation";
    inherit name;
    outPath = "/nix/store/${name}";
    out.outPath = "/nix/store/${name}";
  };

  pkgs = {
    callPackage = _: _: { agent = fakePackage "vmctl-agent"; };
    writeShellScript = name: text: "<${name}>${text}</${name}>"; # so that it can be seen where it is used
    util-linux = utilLinux;
    openbox = "/nix/store/openbox";
  };

  nixos.options = {
    assertions = withDefault (listOf anything) [ ];
    boot.initrd.availableKernelModules = withDefault (listOf str) [ ];
    boot.isContainer = withDefault bool false;
    boot.kernelParams = withDefault (listOf str) [ ];
    boot.loader.grub.enable = withDefault bool true;
    boot.postBootCommands = withDefault lines "";
    environment.etc.hosts.enable = withDefault bool true;
    environment.loginShellInit = withDefault lines "";
    environment.pathsToLink = withDefault (listOf str) [ ];
    environment.systemPackages = withDefault (listOf package) [ ];
    fileSystems = withDefault (attrsOf anything) { };
    networking.dhcpcd.enable = withDefault bool true;
    networking.hostName = withDefault str "nixos";
    networking.networkmanager.dns = withDefault str "default";
    networking.networkmanager.unmanaged = withDefault (listOf str) [ ];
    networking.resolvconf.enable = withDefault bool true;
    networking.useDHCP = withDefault bool true;
    nix.enable = withDefault bool true;
    nix.package = withDefault package (fakePackage "nix");
    services.getty.loginProgram = withDefault str "/bin/login";
    services.resolved.enable = withDefault bool true;
    services.udev.extraRules = withDefault lines "";
    services.xserver.displayManager.startx.enable = withDefault bool false;
    services.xserver.enable = withDefault bool false;
    services.xserver.windowManager.openbox.enable = withDefault bool false;
    swapDevices = withDefault (listOf anything) [ ];
    system.etc.overlay.enable = withDefault bool false;
    system.nixos-init.enable = withDefault bool false;
    systemd.mounts = withDefault (listOf anything) [ ];
    systemd.services = withDefault (attrsOf anything) { };
    systemd.tmpfiles.rules = withDefault (listOf str) [ ];
    users.mutableUsers = withDefault bool true;
  };

  evaluated = lib.evalModules {
    modules = [
      nixos
      ../../nix/module.nix
      system
    ];
    specialArgs = { inherit pkgs; };
  };
  inherit (evaluated) config options;

  # What NixOS does with them when a system is built.
  failed = builtins.filter (a: !a.assertion) config.assertions;
  guest = options.vmctl.guest;
in
{
  inherit config;
  failed = map (a: a.message) failed;
  options = builtins.mapAttrs (_: o: {
    type = o.type.name or "";
    described = o.description or "" != "";
  }) ((builtins.removeAttrs guest [ "display" ]) // { display = guest.display.enable; });
}
