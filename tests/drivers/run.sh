#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# run.sh DRIVER [NAME...]: the one list of checks that every driver must pass, as TAP. With NAMEs only those checks,
# and what begins with them. VM_AS=user runs it as an ordinary user (tests/vm/lib.sh).
#
# run.sh qemu:IMAGE: with that image of tests/vm/make-images.sh, from its tar if there is one, or host-systemd, as the
# guest; of the list what any distribution can be asked.
export VM_DRIVER=${1:?usage: run.sh DRIVER [NAME...]}
case $VM_DRIVER in
*:host-systemd)
  [ -e /usr/lib/systemd/systemd ] || [ -e /lib/systemd/systemd ] || { echo "1..0 # SKIP this host has no systemd"; exit 0; }
  export VM_IMAGE=host-systemd VM_DRIVER=${VM_DRIVER%%:*}
  ;;
*:*)
  images=$(bash "${0%/*}/../vm/make-images.sh" 2>&1) || { echo "1..0 # SKIP $images"; exit 0; }
  export VM_IMAGE=${VM_DRIVER#*:}
  VM_DRIVER=${VM_DRIVER%%:*}
  ;;
esac
DIFFERENCES=${DIFFERENCES:-$(cd "${0%/*}/../.." && pwd)/docs/differences.tsv}
export DIFFERENCES
VM_WANTS_HOME=1
. "${0%/*}/../vm/lib.sh"

names=("${@:2}")
if [ -n "${VM_IMAGE:-}" ]; then
  image=${images:-}/$VM_IMAGE.tar
  [ -e "$image" ] || image=${images:-}/$VM_IMAGE.qcow2
  case $VM_IMAGE in
  host-systemd) "$VMCTL" image build -q host-systemd ;;
  *) "$VMCTL" image import -q --name "$VM_IMAGE" "$image" ;;
  esac >/dev/null || { echo "Bail out! no image '$VM_IMAGE'"; exit 1; }
  [ $# -gt 1 ] || mapfile -t names < <(sed 's/#.*//; /^ *$/d; s/^/=/' "${0%/*}/image-$VM_IMAGE.list")
fi
run_suite "${0%/*}/suite.py" "${names[@]}"
