# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#? ./dev test [STEP...] [-k EXPRESSION]
#? Run every check there is, or the named steps
#?
#? Installs, builds and runs; ends with one line 'N passed, N failed, N skipped'. Exit status 1 when
#? anything failed. With CI=true a check that was skipped for a missing tool counts as failed.
#?
#?   format             clang-format and ruff would change nothing
#?   shell              shellcheck
#?   python             ruff
#?   cppcheck           cppcheck on every C file of the build
#?   tidy               clang-tidy with .clang-tidy
#?   dockerfiles        hadolint and our own rules on dockerfiles/
#?   unit               the unit tests, with AddressSanitizer and UBSan
#?   toml               the public toml-test suite on the driver's parser
#?   runner             ./dev itself and the stand-in for GitLab Runner
#?   blackbox           the released programs from outside
#?   blackbox-sanitize  the same tests on the programs with AddressSanitizer and UBSan
#?   engine             jobs in containers of a real Docker Engine, which the tests start (as root)
#?   engine-sanitize    the same tests on the driver with AddressSanitizer and UBSan
#?   images             dockerfiles/ built on that engine, and whole jobs in the images
#?   fuzz               every fuzz target for a short time (FUZZ_SECONDS each, default 100 for all)
#?   docs               the guide's commands against moto with the AWS CLI, and what it quotes
#?   binaries           static, hardened, no path of this machine, two builds are the same bytes
#?   demo               ./dev demo and ./dev demo --fail
#?
#? Only by name, since they compile the libraries once more:
#?   arm64              the agent for aarch64, cross-built, under qemu-user
#?   agent-image        the Dockerfiles that build the agent from source give the released bytes
#?
#?   -k EXPRESSION      only the pytest tests whose names match

# shellcheck source=cmake/dev/fuzzing.sh
. "$top/cmake/dev/fuzzing.sh"
# shellcheck source=cmake/dev/steps.sh
. "$top/cmake/dev/steps.sh"

steps=(format shell python cppcheck tidy dockerfiles unit toml runner blackbox blackbox-sanitize engine
    engine-sanitize images fuzz docs binaries demo)
declare -A step_packages=(
    [format]="format python" [shell]=lint [python]=python [cppcheck]="lint build unit"
    [tidy]="lint build unit" [unit]="build unit" [toml]="build unit go" [runner]="python"
    [blackbox]="build blackbox interop python" [blackbox-sanitize]="build unit blackbox interop python"
    [engine]="build engine python" [engine-sanitize]="build unit engine python"
    [dockerfiles]=python [images]="build engine images python"
    [arm64]="build arm64 python" [agent-image]="build engine images python"
    [fuzz]="build fuzz" [docs]="build lint python" [binaries]="build blackbox python"
    [demo]="build demo python"
)
declare -A step_builds=(
    [cppcheck]=sanitize [tidy]=sanitize [unit]=sanitize [toml]=sanitize [blackbox]=release
    [images]=release [agent-image]=release [arm64]=arm64
    [blackbox-sanitize]=sanitize [engine]=release [engine-sanitize]="release sanitize" [fuzz]=fuzz [docs]=release
    [binaries]=release [demo]=release
)
# Steps that keep one processor busy at the most, and the one, no greedier, that each runs beside when
# both are wanted. Its result is told in its own place.
declare -A step_beside=([docs]=images)

command_test() {
    local chosen=() step
    expression=
    while [ $# -gt 0 ]; do
        case $1 in
        -k)
            [ -n "${2:-}" ] || usage_error "test: -k needs an expression; './dev test --help'"
            expression=$2 && shift
            ;;
        -*) usage_error "test: unknown option '$1'; './dev test --help'" ;;
        *)
            [ -n "${step_packages[$1]:-}" ] || usage_error "test: unknown step '$1': ${steps[*]}"
            chosen+=("$1")
            ;;
        esac
        shift
    done
    [ ${#chosen[@]} -gt 0 ] || chosen=("${steps[@]}")
    results=$top/build/test
    mkdir -p "$results"
    passed=0 failed=0 skipped=0 failures=()
    declare -gA build_state=() beside=() began=() ended=()
    ticker=
    trap end_all EXIT
    trap 'exit 130' INT
    install_for "${chosen[@]}"
    for step in "${chosen[@]}"; do
        start_beside "$step"
        run_step "$step"
    done
    # Once more, since a step that failed may have been followed by pages of others.
    if [ ${#failures[@]} -gt 0 ]; then printf 'failed: %s\n' "${failures[@]}"; fi
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    [ "$failed" = 0 ]
}

# All at once, since apt takes its time for each call; what cannot be had is found step by step.
install_for() {
    local step purposes=()
    for step in "$@"; do
        # shellcheck disable=SC2206 # words of the table
        purposes+=(${step_packages[$step]})
    done
    (need_packages "${purposes[@]}") || true
}

# Builds once per call, its output shown as it comes. Not to be called in a condition, where the
# shell ignores 'set -e' all the way down.
ready_build() {
    local preset=$1 started=$SECONDS
    [ -z "${build_state[$preset]:-}" ] || return 0
    printf '== build %s\n' "$preset"
    set +e
    (set -e && build_preset "$preset" 2>&1)
    build_state[$preset]=$?
    set -e
    printf '   %d s\n' $((SECONDS - started))
}

# A process group of its own hears nothing of an interrupt at the terminal. What pytest started ends
# with pytest, which an interrupt ends in good order.
end_all() {
    local process
    [ -z "$ticker" ] || kill "$ticker" 2>/dev/null || true
    for process in "${beside[@]}"; do
        kill -INT -- "-$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
}

lacks() {
    # shellcheck disable=SC2086 # words of the table
    missing_packages ${step_packages[$1]} | tr '\n' ' '
}

# The step itself, what it says into its log. Not to be called in a condition: see ready_build.
perform() {
    counts=$results/$1.counts
    : >"$counts"
    (set -e && "step_${1//-/_}") >"$results/$1.log" 2>&1
}

# start_beside NAME: starts what runs beside that step; what is in its way is told when its turn comes.
start_beside() {
    local step preset
    for step in "${chosen[@]}"; do
        [ "${step_beside[$step]:-}" = "$1" ] || continue
        [ -z "${ended[$step]:-}$(lacks "$step")" ] || continue
        for preset in ${step_builds[$step]:-}; do ready_build "$preset"; done
        [[ ${build_state[*]} != *[1-9]* ]] || continue
        set -m
        { trap - EXIT && set +m && perform "$step"; } </dev/null &
        beside[$step]=$!
        set +m
        began[$step]=$SECONDS
    done
}

# run_step NAME: prints its name, result and seconds; shows what it wrote when it failed.
run_step() {
    local step=$1 preset status missing
    ended[$step]=1
    missing=$(lacks "$step")
    if [ -n "$missing" ]; then
        skip_step "$step" "missing: $missing"
        return
    fi
    for preset in ${step_builds[$step]:-}; do
        ready_build "$preset"
        if [ "${build_state[$preset]}" != 0 ]; then
            fail_step "$step" "its build ($preset) failed"
            return
        fi
    done
    : "${began[$step]:=$SECONDS}"
    printf '== %-17s' "$step"
    trap - EXIT # which the heartbeat's shell would inherit
    heartbeat &
    ticker=$!
    trap end_all EXIT
    set +e
    if [ -n "${beside[$step]:-}" ]; then wait "${beside[$step]}"; else perform "$step"; fi
    status=$?
    set -e
    unset "beside[$step]"
    kill "$ticker" 2>/dev/null
    wait "$ticker" 2>/dev/null || true
    ticker=
    tally "$step" "$status" $((SECONDS - began[$step])) "$results/$step.log"
}

# A dot now and then, so that a long step is seen to go on. The last sleep outlives the step: it must
# not keep a pipe open that someone reads to its end.
heartbeat() {
    while sleep 10 >/dev/null 2>&1; do printf '.'; done
}

# fail_step STEP WHY: one that could not be run.
fail_step() {
    failed=$((failed + 1))
    failures+=("$1: $2")
    printf '== %-17s FAILED: %s\n' "$1" "$2"
}

skip_step() {
    if [ "${CI:-}" = true ]; then
        fail_step "$1" "$2"
    else
        skipped=$((skipped + 1))
        printf '== %-17s skipped: %s\n' "$1" "$2"
    fi
}

# count PASSED FAILED SKIPPED: what a step calls for its checks; none: the step is one check.
count() { echo "$1 $2 $3" >>"$counts"; }

tally() {
    local step=$1 status=$2 seconds=$3 log=$4 p f s name
    read -r p f s < <(awk '{ p += $1; f += $2; s += $3 } END { print p + 0, f + 0, s + 0 }' "$results/$step.counts")
    if [ "$status" != 0 ] && [ "$f" = 0 ]; then f=1; fi
    if [ "$status" = 0 ] && [ $((p + f + s)) = 0 ]; then p=1; fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    if [ "$f" = 0 ]; then
        printf ' ok      %4d passed, %d skipped, %d s\n' "$p" "$s" "$seconds"
    else
        printf ' FAILED  %4d passed, %d failed, %d skipped, %d s\n' "$p" "$f" "$s" "$seconds"
    fi
    if [ "$f" = 0 ]; then return; fi
    tail -n 300 "$log" | sed 's/^/   | /'
    while read -r name; do failures+=("$step: $name"); done < <(failed_names "$log")
}

# What pytest and cmocka call failed in a log, at most 50; else its last line, for tools that end with
# what they complain of.
failed_names() {
    local names
    names=$(sed -nE 's/^(FAILED|ERROR) //p; s/^(.*: )?\[  FAILED  \] ([a-z_0-9]+)$/\2/p' "$1" | sort -u | sed -n 1,50p)
    [ -n "$names" ] || names=$(tail -n 1 "$1")
    printf '%s\n' "$names"
}
