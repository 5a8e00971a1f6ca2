# SPDX-License-Identifier: LGPL-2.1-or-later
# vmctl as a Nix package: pkgs.callPackage ./nix/package.nix { }
#
# So far this file has only been parsed (nix-instantiate --parse), not built.
{
  lib,
  stdenv,
  meson,
  ninja,
  pkg-config,
  scdoc,
  makeWrapper,
  glib,
  glibc,
  json_c,
  libseccomp,
  libarchive,
  lzo,
  libslirp,
  libpng,
  libgcrypt,
  libguestfs-with-appliance,
  qemu_kvm,
  bubblewrap,
  e2fsprogs,
}:

stdenv.mkDerivation {
  pname = "vmctl";
  version = "0.1.0";

  outputs = [
    "out"
    "agent" # by itself, for guests: nix/module.nix
  ];

  src = lib.cleanSource ../.;

  nativeBuildInputs = [
    meson
    ninja
    pkg-config
    scdoc
    makeWrapper
  ];

  buildInputs = [
    glib
    glibc.static # the agent is linked statically
    json_c
    libseccomp
    libarchive
    lzo
    libslirp
    libpng
    e2fsprogs # libext2fs
    libgcrypt
    libguestfs-with-appliance # vmctl-guestfs
  ];

  # Nix would make it a position-independent executable, which a static one need not be.
  hardeningDisable = [ "pie" ];

  # The tests start virtual machines and namespaces, which the build sandbox does not have: ./bootstrap test.
  doCheck = false;

  # It is static, and refers to nothing.
  postInstall = ''
    install -D -m 0755 -t $agent/libexec/vmctl $out/libexec/vmctl/vmctl-agent
  '';

  # The programs that vmctl calls, after the user's own.
  postFixup = ''
    wrapProgram $out/bin/vmctl --suffix PATH : ${
      lib.makeBinPath [
        qemu_kvm
        bubblewrap
        e2fsprogs
      ]
    }
  '';

  meta = {
    description = "Run a command on a project in a virtual machine that looks like the host";
    license = lib.licenses.lgpl21Plus;
    platforms = [ "x86_64-linux" ];
    mainProgram = "vmctl";
  };
}
