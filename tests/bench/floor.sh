#!/bin/sh
# The floor of a cold start: a QEMU line as one would write it by hand, with vmctl's own kernel, modules, memory and processors.
#   floor.sh VMLINUX INITRAMFS BASE-DISK PROJECT MEMORY-MIB CPUS [root dir to export]
# INITRAMFS holds floor-init as /init (tests/bench/bench.py makes it).
set -eu
vmlinux=$1 initramfs=$2 base=$3 project=$4 memory=$5 cpus=$6 root=${7:-/}
firmware=
[ -r /usr/share/qemu/qboot.rom ] && firmware='-bios /usr/share/qemu/qboot.rom'
overlay=$(mktemp "${TMPDIR:-/tmp}/floor-XXXXXX.qcow2")
trap 'rm -f "$overlay"' EXIT
cp "$base" "$overlay"
# As vmctl chooses it (vmctl/host.c).
if [ -w /dev/kvm ] && { [ -e /sys/module/kvm_intel ] || [ -e /sys/module/kvm_amd ]; }; then accel='-accel kvm -cpu host'; else accel='-accel tcg -cpu max,la57=off'; fi
# shellcheck disable=SC2086
qemu-system-x86_64 -nodefaults -no-user-config -machine q35 $accel -m "$memory" -smp "$cpus" $firmware \
  -kernel "$vmlinux" -initrd "$initramfs" -append 'console=ttyS0 panic=-1 quiet cryptomgr.notests no_timer_check' \
  -serial stdio -display none -no-reboot \
  -fsdev local,id=ro,path="$root",security_model=none,multidevs=remap,readonly=on \
  -device virtio-9p-pci,fsdev=ro,mount_tag=floor.ro \
  -fsdev local,id=rw,path="$project",security_model=none,multidevs=remap \
  -device virtio-9p-pci,fsdev=rw,mount_tag=floor.rw \
  -drive file="$overlay",if=virtio,format=qcow2,cache=unsafe \
  -netdev user,id=net -device virtio-net-pci,netdev=net,romfile= -device virtio-serial-pci </dev/null
