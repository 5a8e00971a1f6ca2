#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Six at once on one project, each with its own status; then list with fifty of each kind on record.
. "$(dirname "$0")/lib.sh"
requires python3

for i in 1 2 3 4 5 6; do
  (
    up --new -- sh -c "echo $i; exit 1$i" > "$tmp/out$i"
    echo $? > "$tmp/status$i"
  ) &
done
wait
for i in 1 2 3 4 5 6; do
  is "output $i" "$(cat "$tmp/out$i")" "$i"
  is "status $i" "$(cat "$tmp/status$i")" "1$i"
done
run 0 "$V" list --all -q
is "how many are on record" "$(printf '%s\n' "$out" | wc -l)" 6
is "how many ids" "$(printf '%s\n' "$out" | sort -u | wc -l)" 6

# Fifty records: copies of one under other ids, ended ones and, with a held lock, running ones.
cat > "$tmp/fifty.py" <<'PY'
import fcntl, json, os, sys
vmctl, state, runtime = sys.argv[1:]
first = os.listdir(state)[0]
record = json.load(open(f"{state}/{first}/record.json"))
locks = []
for i in range(50):
    for folder, kind in ((state, "ended"), (runtime, "running")):
        record["id"] = f"{kind[0]}{i:07d}"
        record["state"] = kind
        os.mkdir(f"{folder}/{record['id']}", 0o700)
        json.dump(record, open(f"{folder}/{record['id']}/record.json", "w"))
    lock = open(f"{runtime}/{record['id']}/lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    locks.append(lock)

def cpu(program, *words):
    best, out = 1e9, f"{state}/../out"
    for _ in range(15):
        actions = [(os.POSIX_SPAWN_OPEN, 1, out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)]
        pid = os.posix_spawn(program, [program, *words], os.environ, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        assert status == 0, status
        best = min(best, usage.ru_utime + usage.ru_stime)
    return best * 1000, len(open(out).readlines())

# The figures are for people; what list costs is measured, against a baseline, by tests/bench.
floor, _ = cpu("/bin/true")
running, lines = cpu(vmctl, "list")
assert lines == 51, lines
everything, lines = cpu(vmctl, "list", "--all")
assert lines == 107, lines
print(f"list: {running:.1f} ms, list --all: {everything:.1f} ms, of which {floor:.1f} ms are /bin/true's")
PY
python3 -IS "$tmp/fifty.py" "$V" "$tmp/state/vmctl/sandboxes" "$tmp/run/vmctl" || fail "list of fifty"
rm -rf "$tmp"/run/vmctl/r*
