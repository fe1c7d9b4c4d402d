# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#? ./dev test [STEP...] [-k EXPRESSION]
#? Run all checks, or the named steps
#?
#? Installs, builds and runs; the last line is 'N passed, N failed, N skipped'. Exit status 1 if a
#? check failed. A step that was named, or any step with CI=true, fails if it cannot run.
#? Up to three pytest tests that fail in a step run once more, one at a time; those that pass then
#? are listed as unsteady. A sanitizer's report is a failure the first time.
#?
#?   format             clang-format and ruff
#?   shell              shellcheck
#?   python             ruff
#?   includes           #include lines point one way: no circles, no private headers of others
#?   cppcheck           cppcheck on every C file of the build
#?   tidy               clang-tidy with .clang-tidy
#?   dockerfiles        hadolint and further rules on dockerfiles/
#?   unit               the unit tests, with AddressSanitizer and UBSan
#?   toml               the toml-test suite on the driver's parser
#?   runner             ./dev itself and the stand-in for GitLab Runner
#?   blackbox           the released programs, tested from outside
#?   blackbox-sanitize  the same with AddressSanitizer and UBSan, without tests that mostly wait
#?   engine             jobs in containers of a Docker Engine that the tests start (as root)
#?   engine-sanitize    the same with AddressSanitizer and UBSan, without tests that mostly wait
#?   images             builds dockerfiles/ on that engine and runs whole jobs in the images
#?   fuzz               each fuzz target for a short time (FUZZ_SECONDS; default 200 s for all)
#?   docs               runs the guide's commands against moto with the AWS CLI, checks its quotes
#?   binaries           static, hardened, without local paths, reproducible
#?   package            ./dev package; .deb in fresh Debian 12 and 13 roots, rpmlint, man pages (as root)
#?   demo               ./dev demo and ./dev demo --fail
#?
#? Only by name, because they compile the libraries, or Ruby:
#?   arm64              both programs for aarch64, cross-built, under qemu-user
#?   agent-image        the Dockerfiles that build the agent from source yield the released program
#?   ruby               the runner image with a real Ruby 3.3, compiled by its Dockerfile, and a native gem
#?
#?   -k EXPRESSION      only pytest tests with matching names

# shellcheck source=scripts/fuzzing.sh
. "$top/scripts/fuzzing.sh"
# shellcheck source=scripts/steps.sh
. "$top/scripts/steps.sh"

steps=(format shell python includes cppcheck dockerfiles unit toml runner docs package blackbox images tidy
    blackbox-sanitize fuzz engine engine-sanitize binaries demo)
declare -A step_packages=(
    [format]="format python" [shell]=lint [python]=python [includes]=python [cppcheck]="lint build unit"
    [tidy]="lint build unit" [unit]="build unit" [toml]="build unit go" [runner]="python"
    [blackbox]="build blackbox interop python" [blackbox-sanitize]="build unit blackbox interop python"
    [engine]="build engine python" [engine-sanitize]="build unit engine python"
    [dockerfiles]=python [images]="build engine images python"
    [arm64]="build arm64 blackbox python" [agent-image]="build engine images python"
    [ruby]="build engine images python"
    [fuzz]="build fuzz" [docs]="build lint unit docs package python" [binaries]="build blackbox python"
    [package]="build package package-test python" [demo]="build demo python"
)
declare -A step_builds=(
    [cppcheck]=sanitize [tidy]=sanitize [unit]=sanitize [toml]=sanitize [blackbox]=release
    [images]=release [agent-image]=release [ruby]=release [arm64]="release arm64"
    [blackbox-sanitize]=sanitize [engine]=release [engine-sanitize]="release sanitize" [fuzz]=fuzz [docs]=release
    [binaries]=release [package]=release [demo]=release
)
# The step with which another one starts if both are wanted: one waits for downloads, containers or
# deadlines while the other computes. Results appear in order.
declare -A step_beside=([images]=cppcheck [docs]=cppcheck [package]=cppcheck [tidy]=blackbox
    [fuzz]=blackbox-sanitize)

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
    # A step that was asked for by name must run.
    must_run=${chosen[*]:+true}
    [ ${#chosen[@]} -gt 0 ] || chosen=("${steps[@]}")
    results=$top/build/test
    mkdir -p "$results"
    passed=0 failed=0 skipped=0 failures=() unsteady_ones=()
    declare -gA build_state=() beside=() ended=()
    ticker=
    trap end_all EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 131' QUIT
    trap 'exit 143' TERM
    install_for "${chosen[@]}"
    for step in "${chosen[@]}"; do
        start_beside "$step"
        run_step "$step"
    done
    # Repeated here, because pages of other steps may follow a failure.
    if [ ${#unsteady_ones[@]} -gt 0 ]; then
        printf 'unsteady, failed once and passed alone: %s\n' "${unsteady_ones[@]}"
    fi
    if [ ${#failures[@]} -gt 0 ]; then printf 'failed: %s\n' "${failures[@]}"; fi
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    [ "$failed" = 0 ]
}

# Each step checks for itself what is missing. The libraries are built meanwhile, if their compiler is
# there; the lists of packages are new before that, because both read them.
install_for() {
    local step purposes=()
    for step in "$@"; do
        # shellcheck disable=SC2206 # words of the table
        purposes+=(${step_packages[$step]})
    done
    if [ -n "$(missing_packages "${purposes[@]}")" ] && have apt-get && as_root true; then apt_update; fi
    start_libraries "$@"
    (need_packages "${purposes[@]}") || true
}

# Of the builds that these steps need; each build waits for them, and repeats what failed.
start_libraries() {
    local builds='' step
    for step in "$@"; do builds+=" ${step_builds[$step]:-}"; done
    [ -n "${builds// /}" ] && [ -z "$(missing_packages build)" ] || return 0
    in_group libraries build_libraries "$builds" >"$results/libraries.log" 2>&1
}

build_libraries() {
    case $1 in *release*) deps/build.sh musl ;; esac
    case $1 in *sanitize* | *fuzz*) deps/build.sh host ;; esac
}

# in_group NAME COMMAND...: starts it as a process group of its own, which end_all ends whole, and as
# a background job, since bash handles a signal only after a command that it waits for otherwise.
in_group() {
    set -m
    { trap - EXIT; set +m; "${@:2}"; } </dev/null &
    beside[$1]=$!
    set +m
}

# Builds once per call and shows the output. Do not call it in a condition, where the shell ignores
# 'set -e'.
ready_build() {
    local preset=$1 started=$SECONDS
    [ -z "${build_state[$preset]:-}" ] || return 0
    printf '== build %s\n' "$preset"
    in_group build build_preset "$preset" 2>&1
    set +e
    wait "${beside[build]}"
    build_state[$preset]=$?
    set -e
    unset "beside[build]"
    printf '   %d s\n' $((SECONDS - started))
}

# A process group of its own gets no interrupt from the terminal. An interrupted pytest ends what it
# started.
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

# Runs the step with its output in a log. Not to be called in a condition: see ready_build.
perform() {
    set +e
    counts=$results/$1.counts
    unsteady=$results/$1.unsteady
    : >"$counts"
    : >"$unsteady"
    TIMEFORMAT='%R %U %S'
    { time { (set -e && "step_${1//-/_}") >"$results/$1.log" 2>&1; }; } 2>"$results/$1.times"
}

# start_beside NAME: starts the steps that run beside that step; problems are reported in order.
start_beside() {
    local step preset
    for step in "${chosen[@]}"; do
        [ "${step_beside[$step]:-}" = "$1" ] || continue
        [ -z "${ended[$step]:-}$(lacks "$step")" ] || continue
        for preset in ${step_builds[$step]:-}; do ready_build "$preset"; done
        [[ ${build_state[*]} != *[1-9]* ]] || continue
        in_group "$step" perform "$step"
    done
}

# run_step NAME: prints name, result and seconds, and the log of a failure.
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
    printf '== %-17s' "$step"
    trap - EXIT # not for the heartbeat's shell
    heartbeat &
    ticker=$!
    trap end_all EXIT
    [ -n "${beside[$step]:-}" ] || in_group "$step" perform "$step"
    set +e
    wait "${beside[$step]}"
    status=$?
    set -e
    unset "beside[$step]"
    kill "$ticker" 2>/dev/null
    wait "$ticker" 2>/dev/null || true
    ticker=
    tally "$step" "$status" "$(taken "$results/$step.times")" "$results/$step.log"
}

# A dot every 10 s. The last sleep outlives the step and must not keep an output pipe open.
heartbeat() {
    while sleep 10 >/dev/null 2>&1; do printf '.'; done
}

# fail_step STEP WHY: a step that could not run.
fail_step() {
    failed=$((failed + 1))
    failures+=("$1: $2")
    printf '== %-17s FAILED: %s\n' "$1" "$2"
}

skip_step() {
    if [ "${CI:-}" = true ] || [ "$must_run" = true ]; then
        fail_step "$1" "$2"
    else
        skipped=$((skipped + 1))
        printf '== %-17s skipped: %s\n' "$1" "$2"
    fi
}

# count PASSED FAILED SKIPPED: called by steps; a step without a call is one check.
count() { echo "$1 $2 $3" >>"$counts"; }

# taken TIMES: how long a step took, and the processor time of what it ran and waited for.
taken() {
    awk '{ printf "%d s, %d s of CPU", $1 + 0.5, $2 + $3 + 0.5 }' "$1"
}

tally() {
    local step=$1 status=$2 taken=$3 log=$4 p f s name
    read -r p f s < <(awk '{ p += $1; f += $2; s += $3 } END { print p + 0, f + 0, s + 0 }' "$results/$step.counts")
    if [ "$status" != 0 ] && [ "$f" = 0 ]; then f=1; fi
    if [ "$status" = 0 ] && [ $((p + f + s)) = 0 ]; then p=1; fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    if [ "$f" = 0 ]; then
        printf ' ok      %4d passed, %d skipped, %s\n' "$p" "$s" "$taken"
    else
        printf ' FAILED  %4d passed, %d failed, %d skipped, %s\n' "$p" "$f" "$s" "$taken"
    fi
    while read -r name; do unsteady_ones+=("$step: $name"); done <"$results/$step.unsteady"
    if [ "$f" = 0 ] && [ ! -s "$results/$step.unsteady" ]; then return; fi
    tail -n 300 "$log" | sed 's/^/   | /'
    if [ "$f" = 0 ]; then return; fi
    while read -r name; do failures+=("$step: $name"); done < <(failed_names "$log")
}

# The names of failed tests in a log of pytest or cmocka, at most 50; else the last line of the log.
# Of tests that ran again, the second result counts.
failed_names() {
    local names again
    again=$(grep -n '^== again' "$1" || true) # "LINE:== again..."
    names=$(tail -n "+$((${again%%:*} + 0))" "$1" |
        sed -nE 's/^(FAILED|ERROR) //p; s/^(.*: )?\[  FAILED  \] ([a-z_0-9]+)$/\2/p' | sort -u | sed -n 1,50p)
    [ -n "$names" ] || names=$(tail -n 1 "$1")
    printf '%s\n' "$names"
}
