# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#? ./dev bench [--quick] [--rounds N] [--only NAME,...]
#? Measure agent and driver beside what they replace; writes docs/benchmarks.md
#?
#? Takes turns between Berth and its peers (Debian's sshd under tini, dropbear, tini, dumb-init, a Go
#? program that does what today's driver does) and writes tables, JSON and plots; about 15 minutes,
#? as root. The text before the tables in docs/benchmarks.md is kept.
#?
#?   --quick      less of everything, about 2 minutes, into build/bench instead of docs
#?   --rounds N   how often each contestant is measured (default 15)
#?   --only NAME  limits, throughput, upload, login, start, idle, reaping, connections, driver,
#?                stages, images, ecs; with commas between; into build/bench too
#?
#? './dev bench ecs [JOBS]' does the last alone: JOBS (default 200) at once on ECS as moto plays it.

# Before anything is installed or built for it.
bench_check_words() {
    while [ $# -gt 0 ]; do
        case $1 in
        --quick | --rounds=* | --only=*) ;;
        --rounds | --only)
            [ $# -gt 1 ] || usage_error "bench: '$1' needs a value; './dev bench --help'"
            shift
            ;;
        *) usage_error "bench: unknown '$1'; './dev bench --help'" ;;
        esac
        shift
    done
}

command_bench() {
    [ "${1:-}" = ecs ] || bench_check_words "$@"
    [ "$(id -u)" = 0 ] || die "sshd with Debian's settings wants root; as root: ./dev bench"
    need_packages demo bench engine images blackbox python
    need_venv
    build_preset release
    if [ "${1:-}" = ecs ]; then
        bench_timed
        exec "$venv/bin/python" -B tests/bench/ecs_jobs.py "${2:-200}"
    fi
    bench_tools
    # Jobs run in login shells: what this machine's root has set up there is no contestant's.
    # shellcheck disable=SC2016 # the inner shell's
    exec unshare -m sh -c 'for file in .bashrc .bash_profile .bash_login .profile; do
            [ ! -e "$HOME/$file" ] || mount --bind /dev/null "$HOME/$file"
        done
        exec "$@"' sh "$python" -B tests/bench/main.py "$@"
}

bench_timed() {
    mkdir -p "$top/build/bench"
    gcc -static -O2 -Wall -Wextra -Werror -o "$top/build/bench/timed" tests/bench/peers/timed.c
}

bench_tools() {
    local out=$top/build/bench
    bench_timed
    gcc -O2 -Wall -Wextra -Werror -o "$out/orphans" tests/bench/peers/orphans.c
    (cd tests/bench/go && GOTOOLCHAIN=local go build -trimpath -mod=readonly -o "$out/go-driver" .)
}
