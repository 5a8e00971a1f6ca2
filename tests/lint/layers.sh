#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The include law (docs/architecture.md): arrows only downwards.
. "$(dirname "$0")/lib.sh"

# check FILES-BELOW REGEX: every "quoted" include of the files matches.
check () {
  for file in $(sources "$1" | grep -Ev "${3:-^$}"); do
    sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$file" | grep -Ev "$2" |
      sed "s|^|$file: may not include |"
  done
}
complaints=$(
  check vmctl/base '^vmctl/base/'
  check qmp '^(qmp|vmctl/base)/|^meta/(format|frame)\.h$'
  check images '^(images|vmctl/base)/|^meta/(format|frame)\.h$'
  check virtfs '^(virtfs|vmctl/base)/|^meta/(format|frame)\.h$'
  check meta '^(meta|vmctl/base)/' '^meta/agent/'
  # The agent is libc only; what it shares with the host is the format.
  check meta/agent '^meta/(agent/|format\.h$|frame\.h$)'
  # Verbs know drivers through vmctl/driver.h alone, and nothing below knows a verb.
  check vmctl/verbs '^(vmctl/[a-z0-9-]+\.(h|def)|vmctl/base/[a-z0-9-]+\.h|(qmp|images|meta)/[a-z0-9-]+\.h)$'
  check vmctl '^(vmctl|qmp|images|virtfs|meta)/' '^vmctl/(base|verbs)/'
  check tests '^(vmctl|qmp|images|virtfs|meta|tests)/|^[a-z-]+\.h$'
)
[ -z "$complaints" ] || complain "$complaints"

# Only the source root is on the include path, and headers are guarded by a pragma.
for file in $(sources vmctl qmp images virtfs meta); do
  case $file in
  *.h) grep -q '^#pragma once' "$file" || complain "$file: no #pragma once" ;;
  esac
  head -n 1 "$file" | grep -q 'SPDX-License-Identifier: LGPL-2.1-or-later' ||
    complain "$file: the first line is not the SPDX line"
done

# GLib does not belong into the agent and the keeper; the heavy libraries only into their own program.
for file in $(sources meta/agent) vmctl/keeper.c; do
  ! grep -Hn '#include <\(glib\|json-c\|archive\|lzo\)' "$file" || complain "$file: libc only"
done
for file in $(sources vmctl qmp meta | grep -v '^meta/agent/'); do
  ! grep -Hn '#include <\(archive\|lzo\)' "$file" || complain "$file: only vmctl-image links these"
done

# Verbs are not included by what is below them, save for the table itself.
for file in $(sources vmctl | grep -Ev '^vmctl/(verbs/|verb\.c|verbs\.h)'); do
  ! grep -Hn '"vmctl/verbs' "$file" || complain "$file: verbs are on top"
done

# One place writes errors; library code does not print.
for file in $(sources vmctl qmp images meta | grep -Ev '^vmctl/main\.c$'); do
  ! grep -Hn '"vmctl: error' "$file" || complain "$file: only vmctl/main.c writes errors"
done
for file in $(sources vmctl/base vmctl/drivers qmp images meta | grep -Ev '^meta/agent/|vmctl-image\.c$'); do
  ! grep -HnE '\b(v?f?printf|fputs|puts|putchar|perror|g_print(err)?|g_warning|g_message) \(' "$file" ||
    complain "$file: library code does not print"
done

# Never a shell; children only by VmArgv.
for file in $(sources vmctl qmp images virtfs meta); do
  ! grep -nE '\b(system|popen|wordexp|g_spawn_[a-z_]+|posix_spawnp?) \(|"/bin/sh", *"-c"' "$file" |
    grep -vE '^[0-9]+:[[:space:]]*(/?\*|//)' ||
    complain "$file: a shell, or a child that is not VmArgv's"
done
finish
