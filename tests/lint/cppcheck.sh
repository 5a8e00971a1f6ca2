#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# cppcheck finds nothing; what it cannot know is in cppcheck.supp.
. "$(dirname "$0")/lib.sh"
requires cppcheck

# shellcheck disable=SC2046
exec cppcheck --enable=warning,portability,performance --inline-suppr --quiet --std=c11 -I . --library=gtk \
  --suppressions-list=tests/lint/cppcheck.supp --error-exitcode=1 '-DG_DEFINE_QUARK(a,b)=' \
  '-DG_DEFINE_AUTOPTR_CLEANUP_FUNC(a,b)=' $(sources vmctl qmp images meta | grep '\.c$')
