#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Real projects, built and tested inside with the host's toolchain: the example, and an ordinary C library with autotools from
# a Debian source package.
. "${0%/*}/lib.sh"

examples=$vm_here/../../examples
[ -d "$examples" ] || examples=$vm_here/../examples # where lib.sh copies the tests for another user
cp -r "$examples/hello/." "$P/"
run_up "$P" -- make check
is "$STATUS" 0 "examples/hello: make check ends 0"
like "$OUT" "passed" "and shows its own tests"
run_up "$P" -- make clean
is "$STATUS" 0 "make clean"

# DIRECTORY: whatever went wrong is at the end of one of these.
tell_logs () {
  local log
  note "vmctl: $ERR"
  for log in "$1"/configure.out "$1"/config.log "$1"/make.out "$1"/src/*.log "$1"/test/*.log; do
    [ -s "$log" ] || continue
    note "the end of ${log#"$1"/}:"
    note "$(tail -n 15 "$log")"
  done
  note "what it printed: $(tail -n 30 <<<"$OUT")"
  note "times: this host's $(date +%T.%N), the project's file system $(touch "$1/now" && date -r "$1/now" +%T.%N)"
}

# NAME: sets SOURCE to its tar file, fetched once by apt with lists of our own and kept beside the cache. Two tests may want it
# at once, and what is half there has no name.
source_package () {
  local dir=$vm_base/source
  mkdir -p "$dir" && (flock 8 && { tar_of "$1" >/dev/null || fetch "$1"; }) 8>"$dir/lock"
  SOURCE=$(tar_of "$1")
}
tar_of () { ls "$vm_base"/source/"$1"_*.orig.tar.* 2>/dev/null | grep -v asc | head -n 1 | grep .; }
fetch () {
  local dir=$vm_base/source lists=$vm_base/source/lists
  local keys=/usr/share/keyrings/debian-archive-keyring.gpg
  command -v apt-get >/dev/null && [ -e "$keys" ] || return 1
  rm -rf "$dir/new"
  mkdir -p "$lists/partial" "$dir/parts" "$dir/cache" "$dir/new"
  echo "deb-src [signed-by=$keys] http://deb.debian.org/debian bookworm main" >"$dir/sources.list"
  set -- "$1" -o "Dir::Etc::sourcelist=$dir/sources.list" -o "Dir::Etc::sourceparts=$dir/parts" \
    -o "Dir::State::lists=$lists" -o "Dir::Cache=$dir/cache" -o "APT::Sandbox::User=$ME" -o Debug::NoLocking=1
  (cd "$dir/new" && apt-get -qq "${@:2}" update && apt-get -qq "${@:2}" source --download-only "$1" && mv -- ./*.orig.tar.* ..) >"$T/apt" 2>&1
  rm -rf "$lists" "$dir/cache"
}

if ! source_package libmd; then
  skip "the Debian archive cannot be reached: $(tail -n 1 "$T/apt" 2>/dev/null)" \
    "a Debian source package builds and passes its tests"
else
  # The owners in the archive are nobody's here, and a sandbox may write only what belongs to its user.
  mkdir "$P/libmd" && tar -C "$P/libmd" --no-same-owner --strip-components 1 -xf "$SOURCE"
  cores=$(nproc)
  DEADLINE=800 run_up -c "$cores" "$P/libmd" -- sh -c './configure -q --disable-shared >configure.out 2>&1 && make -s >make.out 2>&1 && make -s check'
  is "$STATUS" 0 "libmd (autotools): configure, make, make check"
  [ "$STATUS" = 0 ] || tell_logs "$P/libmd"
  like "$OUT" "# PASS:" "and its own tests ran"
  like "$OUT" "# FAIL:  0" "and none failed"
fi
finish
