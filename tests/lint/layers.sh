#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The include law (docs/architecture.md): arrows only downwards. And what else keeps the layers apart.
# shellcheck disable=SC2046
. "$(dirname "$0")/lib.sh"

# only FOLDER REGEX [BUT]: every "quoted" include in the files below FOLDER, save those that match BUT, matches.
only () {
  grep -HnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' $(sources "$1" | grep -Ev "${3:-^$}") /dev/null |
    awk -F'"' -v allowed="$2" '$2 !~ allowed { sub (/:[^:]*$/, "", $1); print $1 ": may not include " $2; bad = 1 }
      END { exit bad }' || found=1
}
lower='^(%|vmctl/base)/|^meta/(format|frame)[.]h$'
only vmctl/base '^vmctl/base/'
for folder in qmp images virtfs; do only "$folder" "$(echo "$lower" | sed "s/%/$folder/")"; done
only meta '^(meta|vmctl/base)/' '^meta/agent/'
# The agent is libc only; what it shares with the host is the format.
only meta/agent '^meta/(agent/|format[.]h$|frame[.]h$|netif[.]h$|dgram[.]h$|relay[.]h$)'
# Verbs know drivers through vmctl/driver.h alone, and nothing below knows a verb.
only vmctl/verbs '^(vmctl/[a-z0-9-]+[.](h|def)|vmctl/base/[a-z0-9-]+[.]h|(qmp|images|meta)/[a-z0-9-]+[.]h)$'
only vmctl '^(vmctl|qmp|images|virtfs|meta)/' '^vmctl/(base|verbs)/'
only vmctl '^(vmctl/[^v]|vmctl/v[^e]|vmctl/verb[.]h|qmp|images|virtfs|meta)' \
  '^vmctl/(base|verbs)/|^vmctl/(verb[.]c|verbs[.]h)$'

# vmctl-net parses what a sandbox sends: it knows nothing of the rest.
only vmctl/net '^(vmctl/net|meta)/'

# never WHAT REGEX FILES...: no line but a comment matches.
never () {
  what=$1 regex=$2
  shift 2
  lines=$(grep -HnE "$regex" "$@" /dev/null | grep -vE '^[^:]*:[0-9]+:[[:space:]]*(/?\*|//)')
  [ -z "$lines" ] || complain "$what:
$lines"
}
never 'libc only here' '#include <(glib|json-c|archive|lzo)' $(sources meta/agent vmctl/net) vmctl/keeper*.c meta/netif.c
never 'only vmctl-image links these' '#include <(archive|lzo)' $(sources vmctl qmp meta)
never 'only vmctl-guestfs links it' '#include <guestfs' $(sources vmctl qmp meta images | grep -v '^images/guestfs/')
never 'only vmctl-net links it' '#include <slirp' $(sources vmctl qmp meta images | grep -v '^vmctl/net/')
never 'only vmctl/main.c writes errors' '"vmctl: error' $(sources vmctl qmp images meta | grep -v '^vmctl/main\.c$')
never 'library code does not print' '\b(v?f?printf|fputs|puts|putchar|perror|g_print(err)?|g_warning|g_message) \(' \
  $(sources vmctl/base vmctl/drivers qmp images meta | grep -Ev '^meta/agent/|vmctl-(image|ext|guestfs)\.c$')
never "a shell, or a child that is not VmArgv's" \
  '\b(system|popen|wordexp|g_spawn_[a-z_]+|posix_spawnp?) \(|"/bin/sh", *"-c"' $(sources vmctl qmp images virtfs meta)

lines=$(grep -L '^#pragma once' $(sources vmctl qmp images virtfs meta | grep '\.h$'))
[ -z "$lines" ] || complain "no #pragma once: $lines"
lines=$(awk 'FNR == 1 && !/SPDX-License-Identifier: LGPL-2.1-or-later/ { print FILENAME }' \
  $(sources vmctl qmp images virtfs meta))
[ -z "$lines" ] || complain "the first line is not the SPDX line: $lines"
finish
