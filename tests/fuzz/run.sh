#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# tests/fuzz/run.sh TARGET SECONDS: fuzzes tests/fuzz/fuzz-TARGET.c with clang's libFuzzer, ASan and UBSan, on a
# copy of its corpus. Crashes are written to build-fuzz/crash-TARGET-*; a good find goes into the corpus by hand.
set -eu

target=${1:?usage: run.sh TARGET SECONDS}
seconds=${2:?usage: run.sh TARGET SECONDS}
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build-fuzz

[ -f "$build/build.ninja" ] ||
  CC=clang meson setup "$build" "$root" -Db_sanitize=address,undefined -Db_lundef=false \
    -Dc_args=-fsanitize=fuzzer-no-link -Dbuildtype=debugoptimized >/dev/null
ninja -C "$build" "tests/fuzz-$target"

corpus=$(mktemp -d)
trap 'rm -rf "$corpus"' EXIT
cp "$root/tests/fuzz/corpus/$target/"* "$corpus/"
"$build/tests/fuzz-$target" -max_total_time="$seconds" -timeout=30 -rss_limit_mb=2048 -print_final_stats=1 \
  -artifact_prefix="$build/crash-$target-" "$corpus"
