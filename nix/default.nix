# SPDX-License-Identifier: LGPL-2.1-or-later
# For those without flakes: import ./nix { inherit pkgs; }
{
  pkgs ? import <nixpkgs> { },
}:

{
  vmctl = pkgs.callPackage ./package.nix { };
  nixosModules.guest = ./module.nix;
}
