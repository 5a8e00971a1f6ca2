#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# $XDG_RUNTIME_DIR that cannot be used: refused with the mend, by up and by doctor in the same words.
. "$(dirname "$0")/lib.sh"
bad=$tmp/bad

refused () {
  run 125 env XDG_RUNTIME_DIR="$bad" "$V" up --driver null -- true
  has "$err" "\$XDG_RUNTIME_DIR"
  has "$err" "$bad"
  has "$err" "$1"
  text=${err#vmctl: error: }
  run 1 env XDG_RUNTIME_DIR="$bad" "$V" list
  has "$err" "$text"
  run 1 env XDG_RUNTIME_DIR="$bad" "$V" doctor
  has "$out" "FAILED   runtime dir"
  has "$out" "${text%%; *}"
  has "$out" "${text#*; }"
}
refused "No such file"
touch "$bad"
refused "not a directory"
rm "$bad"
mkdir -m 0777 "$bad"
chmod 0777 "$bad"
refused "chmod 0700"
chmod 0750 "$bad"
refused "chmod 0700"
rmdir "$bad"
ln -s "$tmp/run" "$bad"
refused "not a directory"
rm "$bad"
bad=/
if [ "$(id -u)" -ne 0 ]; then
  refused "belongs to uid 0"
else
  bad=$tmp/bad
  mkdir -m 0700 "$bad"
  if chown 65534 "$bad" 2> /dev/null; then
    refused "belongs to uid 65534"
  fi
fi
bad=relative
refused "not absolute"

# Unset: another place is found, and doctor says which.
run 0 env -u XDG_RUNTIME_DIR "$V" doctor --json
has "$out" runtime-dir
run 0 env -u XDG_RUNTIME_DIR "$V" list
# In one of ours, a directory that others may write to is not used.
mkdir -p "$tmp/run/vmctl"
chmod 0777 "$tmp/run/vmctl"
run 125 up -- true
has "$err" "chmod 0700"
chmod 0700 "$tmp/run/vmctl"
run 0 up -- true
# The same for the state directory.
chmod 0777 "$tmp/state/vmctl"
run 125 up -- true
has "$err" "$tmp/state/vmctl"
