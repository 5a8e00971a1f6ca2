# SPDX-License-Identifier: LGPL-2.1-or-later
# For tests in the network of world.py: what is tried inside, and what must come of it.
. "${0%/*}/../vm/lib.sh"
[ "$VM_DRIVER" = bwrap ] && { command -v bwrap > /dev/null || skip_all "bwrap is not installed"; }
[ "$VM_DRIVER" = nspawn ] && { command -v systemd-nspawn > /dev/null || skip_all "systemd-nspawn is not installed"; }
[ -c /dev/net/tun ] || skip_all "there is no /dev/net/tun"
[ -n "${WORLD:-}" ] || skip_all "this runs below tests/net/world.py"
PY=/usr/bin/python3
cp "${0%/*}/verdicts.py" "${0%/*}/running.py" "$WORLD/ca.pem" "$P/"

# verdict WANTED DESCRIPTION -- KIND ARGUMENT...: to be tried; see verdicts.py for KIND. WANTED is what comes back (a
# shell pattern; A|B: one of both), or one of these, which must come in less than a second:
#   refused   the connection, or the datagram, at once
#   cut       it was a connection, until it said for whom it is
#   noname    the name is not told
WANTED=() SAYS=() LINES_IN=()
verdict () {
  WANTED+=("$1") SAYS+=("$2") LINES_IN+=("${*:4}")
}

# try NAME: all of that, in this sandbox
try () {
  local i line result seconds limit
  for i in "${!LINES_IN[@]}"; do printf 'v%d %s\n' "$i" "${LINES_IN[i]}"; done >"$T/verdicts"
  DEADLINE=240 run "$VMCTL" exec -T "$1" -- "$PY" verdicts.py <"$T/verdicts"
  [ "$STATUS" = 0 ] || { no "what is tried in $1 runs"; note "$ERR"; }
  limit=$((1 * SLOW))
  for i in "${!LINES_IN[@]}"; do
    line=$(printf '%s\n' "$OUT" | awk -v k="v$i" '$1 == k { print $2, $3; exit }')
    result=${line% *} seconds=${line##* }
    if ! wanted "${WANTED[i]}" "$result"; then
      no "${SAYS[i]}"
      note "tried:  ${LINES_IN[i]}"; note "got:    $line"; note "wanted: ${WANTED[i]}"
    elif [[ ${WANTED[i]} =~ ^(refused|cut|noname)$ ]] && ! awk -v t="$seconds" -v l=$limit 'BEGIN { exit t >= l }'; then
      no "${SAYS[i]}: at once"; note "it took $seconds s"
    else
      ok "${SAYS[i]}"
    fi
  done
  WANTED=() SAYS=() LINES_IN=()
}

wanted () { # WANTED GOT
  local one
  case $1 in
  refused) [ "$2" = ECONNREFUSED ]; return ;;
  cut) [ "$2" = ECONNRESET ] || [ "$2" = EPIPE ]; return ;;
  noname) [ "$2" = EAI-2 ] || [ "$2" = EAI-5 ]; return ;;
  esac
  local IFS='|'
  set -f
  for one in $1; do
    # shellcheck disable=SC2254
    case $2 in $one) set +f; return 0 ;; esac
  done
  set +f
  return 1
}

# behind FILE NAME LINE...: tried meanwhile; what is said is in $T/FILE
behind () {
  local file=$1 name=$2
  shift 2
  printf 'b %s\n' "$@" | "$VMCTL" exec -T "$name" -- "$PY" verdicts.py >"$T/$file" 2>&1 &
}
said () { until_true 60 grep -q "$2" "$T/$1"; } # FILE WORD

# questions NAME: how often name servers were asked for it
questions () { awk -v n="$1" '$4 == n { i++ } END { print i + 0 }' "$WORLD/dns.log"; }
