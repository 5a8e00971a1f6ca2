# SPDX-License-Identifier: LGPL-2.1-or-later
# For the lints: they run in the source directory ($1 or the one above) and collect complaints.
set -u
cd "${1:-$(dirname "$0")/../..}" || exit 1
export LC_ALL=C
found=0

complain () { printf '%s\n' "$*"; found=1; }
finish () { exit "$found"; }
requires () { command -v "$1" > /dev/null || { echo "skipped: $1 is not installed"; exit 77; }; }

# The project's own sources below the given directories (all: none given).
sources () {
  find "${@:-.}" \( -name 'build*' -o -name .git -o -name .library \) -prune -o -name '*.[ch]' -type f -print |
    sed 's|^\./||' | sort
}
