#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The sources are as clang-format writes them.
. "$(dirname "$0")/lib.sh"
requires clang-format

# shellcheck disable=SC2046
clang-format --dry-run -Werror $(sources) 2>&1 | grep -E 'error:' | cut -d: -f1 | sort -u |
  sed 's|$|: run clang-format -i on it|' | grep . && exit 1
exit 0
