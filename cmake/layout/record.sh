#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Writes early_text.ld anew: runs a session and a stage in valgrind and lists what they execute.
# For when libraries changed much; an old list costs memory, nothing else. Takes ten seconds, and
# wants valgrind, OpenSSH's client and the finished build in build/release.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$here/../../build/release
work=$(mktemp -d)
agent_pid=
trap 'if [ -n "$agent_pid" ]; then kill "$agent_pid" || true; fi; rm -rf "$work"' EXIT

# Links a program again with symbols, a map, no list, and OBJECT... in front of the archives.
link_for_record() {
    local program=$1 command
    shift
    command=$(cd "$build" && ninja -t commands "bin/$program" | tail -n 1)
    command=${command/-Wl,--gc-sections -s/-Wl,--gc-sections -Wl,-Map=$work/$program.map}
    command=${command/-o bin\/$program/$* -o $work/$program}
    # shellcheck disable=SC2001 # a pattern, no string
    (cd "$build" && sh -c "$(sed 's# [^ ]*-Wl,-T,[^ ]*early_text.ld"\{0,1\}##' <<<"$command")")
}

# In a shell of its own, which becomes the program: a signal for the one is for the other.
record() (
    program=$1
    shift
    exec valgrind --tool=callgrind --callgrind-out-file="$work/$program.%p" "$work/$program" "$@"
)

# The filter would kill a session for what valgrind asks of the kernel.
cat >"$work/confine.c" <<'C'
struct error;
int confine_process(struct error *err);
int confine_process(struct error *err)
{
    (void)err;
    return 0;
}
C
compiler=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
"$compiler" -O2 -fPIE -c "$work/confine.c" -o "$work/confine.o"
link_for_record berth-agent "$work/confine.o"
link_for_record berth-driver

ssh-keygen -q -t ed25519 -N '' -f "$work/key"
mkfifo "$work/ready"
SSH_PUBLIC_KEY=$(cat "$work/key.pub") record berth-agent --listen 127.0.0.1:0 --ready-fd 9 \
    9>"$work/ready" 2>"$work/log" &
agent_pid=$!
read -r port <"$work/ready"
for cipher in aes128-gcm@openssh.com aes256-gcm@openssh.com chacha20-poly1305@openssh.com; do
    head -c 300000 /dev/zero | ssh -F none -i "$work/key" -p "$port" -q -c "$cipher" -o BatchMode=yes \
        -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes \
        -o KexAlgorithms=curve25519-sha256 root@127.0.0.1 cat >/dev/null
done
kill "$agent_pid"
wait "$agent_pid" || true
agent_pid=

mkdir "$work/tasks"
printf 'Backend = "local"\n[TaskMetadata]\nDirectory = "%s/metadata"\n[Local]\nDirectory = "%s/tasks"\n' \
    "$work" "$work" >"$work/fargate.toml"
echo '{"id": 1, "token": "t"}' >"$work/job.json"
echo : >"$work/script"
export JOB_RESPONSE_FILE=$work/job.json BUILD_FAILURE_EXIT_CODE=1 SYSTEM_FAILURE_EXIT_CODE=2
driver=("$build/bin/berth-driver" --config "$work/fargate.toml" custom)
"${driver[@]}" prepare
record berth-driver --config "$work/fargate.toml" custom run "$work/script" step_script
"${driver[@]}" cleanup

python3 "$here/sections.py" "$work/berth-agent" "$work/berth-agent.map" "$work"/berth-agent.[0-9]* \
    -- "$work/berth-driver" "$work/berth-driver.map" "$work"/berth-driver.[0-9]* >"$work/list"
cp "$work/list" "$here/early_text.ld"
