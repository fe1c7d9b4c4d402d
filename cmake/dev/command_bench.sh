# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#? ./dev bench [REPEATS]
#? Time each stage of a job and the way to its first command
#?
#? Runs a job whose script is 'true' REPEATS times (default 10) on the 'local' backend and prints
#? median, quickest and slowest of each stage. The first command of the job's script runs after
#? config, prepare, prepare_script and get_sources.
#? './dev bench ecs [JOBS]' launches JOBS (default 200) at once on ECS as moto plays it, and counts.

command_bench() {
    need_packages demo
    build_preset release
    if [ "${1:-}" = ecs ]; then
        need_packages blackbox
        need_venv
        exec "$venv/bin/python" -B tests/bench/ecs_jobs.py "${2:-200}"
    fi
    exec "$python" -B tests/bench/stages.py "${1:-10}"
}
