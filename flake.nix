# SPDX-License-Identifier: LGPL-2.1-or-later
{
  description = "Run a command on a project in a virtual machine that looks like the host";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    {
      packages.x86_64-linux.default = nixpkgs.legacyPackages.x86_64-linux.callPackage ./nix/package.nix { };

      # For a NixOS system that is to be a guest: vmctl image build nix:FLAKE#SYSTEM
      nixosModules.guest = ./nix/module.nix;
      nixosModules.default = self.nixosModules.guest;
    };
}
