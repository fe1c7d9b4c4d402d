# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#? ./dev bench [--quick] [--rounds N] [--only NAME,...]
#? Measure agent and driver beside what they replace; writes docs/benchmarks.md
#?
#? Measures Berth and others by turns (Debian's sshd under tini, dropbear, tini, dumb-init, a Go
#? program that stands in for GitLab's driver) and writes tables, JSON and plots. Takes about 15
#? minutes, as root. Keeps the text before the tables in docs/benchmarks.md.
#?
#?   --quick      fewer rounds, about 2 minutes, into build/bench instead of docs
#?   --rounds N   rounds per program (default 15)
#?   --only NAME  limits, throughput, upload, login, start, idle, reaping, connections, docker,
#?                driver, stages, images, ecs, warm, crowd; with commas between; into build/bench too
#?
#? './dev bench ecs [JOBS]' runs JOBS (default 200) jobs at once on ECS as simulated by moto, then as
#? many with 20 images of their own.

# Called before packages are installed.
bench_check_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
        --quick | --rounds=* | --only=*) ;;
        --rounds | --only)
            [ $# -gt 1 ] || usage_error "bench: '$1' needs a value; './dev bench --help'"
            shift
            ;;
        *) usage_error "bench: unexpected argument '$1'; './dev bench --help'" ;;
        esac
        shift
    done
}

command_bench() {
    [ "${1:-}" = ecs ] || bench_check_arguments "$@"
    [ "$(id -u)" = 0 ] || die "sshd with Debian's settings needs root; run './dev bench' as root"
    need_packages demo bench engine images blackbox python
    need_venv
    build_preset release
    if [ "${1:-}" = ecs ]; then
        bench_timed
        exec "$venv/bin/python" -B tests/bench/ecs_jobs.py "${2:-200}"
    fi
    bench_tools
    # Jobs run in login shells: hide root's start-up files.
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
