#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What people use, in the network of world.py --tools: works when it is listed, and is refused by name when not.
. "${0%/*}/lib.sh"
shopt -s extglob
[ -e "$WORLD/client_key" ] && { cp "$WORLD/known_hosts" "$P/" && install -m 0600 "$WORLD/client_key" "$P/key" || exit 1; }
export VM_SSH="ssh -F none -i key -o BatchMode=yes -o IdentitiesOnly=yes -o UserKnownHostsFile=known_hosts -o GlobalKnownHostsFile=none -o StrictHostKeyChecking=yes -o LogLevel=ERROR"
cat >"$P/tools" <<'END'
# tools WHAT...: one line each, "WHAT STATUS SECONDS", and what it printed in WHAT.out
export HOME=$PWD/home GIT_SSL_CAINFO=$PWD/ca.pem GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 GIT_SSH_COMMAND=$VM_SSH
export npm_config_cafile=$PWD/ca.pem npm_config_registry=https://registry.npm.test/files/npm/ npm_config_fetch_retries=0
export npm_config_update_notifier=false npm_config_audit=false npm_config_fund=false npm_config_cache=$PWD/npm-cache
mkdir -p home
curl_ () { curl -sS --cacert ca.pem https://git.test/; }
redirect () { curl -sSL --cacert ca.pem https://git.test/to/https://c.tls.test/; }
git_https () { rm -rf c1 && git clone -q https://git.test/git/hello.git c1 && cat c1/hello; }
git_ssh () { rm -rf c2 && git clone -q ssh://root@ssh.test/hello c2 && cat c2/hello; }
ssh_ () { $VM_SSH root@ssh.test; }
ssh443 () { $VM_SSH -o HostKeyAlias=ssh.test -p 443 root@ssh.test; }
npm_ () { rm -rf n npm-cache && mkdir n && (cd n && npm install --silent vmctl-test-"$1" && node -p "require('vmctl-test-$1')"); }
npm_listed () { npm_ hello; }
npm_elsewhere () { npm_ elsewhere; }
apt () {
  rm -rf apt && mkdir -p apt/lists/partial apt/cache/archives/partial apt/etc &&
    echo "deb [trusted=yes] http://deb.test/files/apt ./" >apt/etc/list && : >apt/status &&
    { # its own errors in a list of failures are a status only since 2.x
      o="-o Dir::Etc::SourceList=$PWD/apt/etc/list -o Dir::Etc::SourceParts=- -o Dir::State=$PWD/apt -o Dir::State::status=$PWD/apt/status
        -o Dir::Cache=$PWD/apt/cache -o APT::Sandbox::User= -o Acquire::Retries=0 -o Acquire::http::Proxy=false -o Acquire::Languages=none"
      apt-get -q $o -o APT::Update::Error-Mode=any update && cd apt && apt-get -q $o download vmctl-test-hello &&
        dpkg-deb --fsys-tarfile vmctl-test-hello_*.deb | tar -xO ./usr/share/vmctl-test-hello
    }
}
for what; do
  begin=$(date +%s.%N)
  ("$what") >"$what.out" 2>&1
  echo "$what $? $(date +%s.%N) $begin" | awk '{ printf "%s %d %.1f\n", $1, $2, $3 - $4 }'
done
END
tools () { DEADLINE=300 run "$VMCTL" exec -T -e VM_SSH tools -- bash tools "$@"; }
outcome () { printf '%s\n' "$OUT" | awk -v w="$1" '$1 == w { print $2 }'; }
works () { # TOOL LAST-LINE
  have "$1" || return
  is "$(outcome "$1") $(tail -n 1 "$P/$1.out" 2>&1)" "0 $2" "$1 works"
  [ "$(outcome "$1")" = 0 ] || note "$(cat "$P/$1.out")"
}
fails () { # TOOL NAME
  have "$1" || return
  isnt "$(outcome "$1")" 0 "$1 is refused"
  like "$(vm net log tools | tail -n +"$mark")" "$2" "net log names $2"
}
mark=1

# have TOOL PROGRAM: it is to be tried
have () { case " $every " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }
every=
PATH=$PATH:/usr/sbin
for pair in curl_:curl git_https:git git_ssh:git,sshd ssh_:ssh,sshd ssh443:ssh,sshd npm_listed:npm,node apt:apt-get,dpkg-deb; do
  lacking=
  for program in $(tr , ' ' <<<"${pair#*:}"); do command -v "$program" >/dev/null || lacking+=" $program"; done
  if [ -z "$lacking" ]; then every+=" ${pair%:*}"
  elif [ "${CI:-}" = true ]; then no "${pair%:*}:$lacking is missing"
  else skip "no$lacking" "${pair%:*}"; fi
done
start tools --net allow:git.test:443,registry.npm.test:443,deb.test:80,ssh.test:22,ssh.test:443 "$P" -- sleep 900 && ok "a sandbox" ||
  { no "a sandbox"; finish; }
have curl_ && every+=" redirect"
have npm_listed && every+=" npm_elsewhere"
# Node takes a minute in an emulated machine; each way of a program is tried in one of the others.
[ "$VM_DRIVER" != qemu ] || every=" ${every//@( git_ssh| ssh443| npm_elsewhere)/} "
# shellcheck disable=SC2086
tools $every
is "$STATUS" 0 "the tools run"
[ "$STATUS" = 0 ] || note "$ERR"
note "$OUT"
works curl_ "I am 198.51.100.40 for git.test"
works git_https "hello from git.test"
works git_ssh "hello from git.test"
works ssh_ "I am ssh.test"
works ssh443 "I am ssh.test"
works npm_listed "hello from vmctl-test-hello"
works apt "hello from deb.test"
# What a listed server leads to
fails redirect c.tls.test
fails npm_elsewhere cdn.npm.test

# None of it is listed
check "net set" vm net set tools allow:public.test
mark=$(($(vm net log tools | wc -l) + 1))
every=${every/ redirect/} every=${every/ npm_elsewhere/}
[ "$VM_DRIVER" != qemu ] || every=${every/ npm_listed/}
# shellcheck disable=SC2086
tools $every
note "$OUT"
fails curl_ git.test
fails git_https git.test
fails git_ssh ssh.test
fails ssh_ ssh.test
fails npm_listed registry.npm.test
fails apt deb.test
run "$VMCTL" stop tools
is "$STATUS" 0 "it stops"
finish
