# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#? ./dev fuzz [TARGET] [SECONDS]
#? Fuzz one target or each of them for some time (60 s unless told)
#?
#? Starts from tests/fuzz/corpus/TARGET; new inputs go to build/fuzz/corpus/TARGET, a crash is kept
#? there as crash-*. Exit status 1 when something was found.

# shellcheck source=cmake/dev/fuzzing.sh
. "$top/cmake/dev/fuzzing.sh"

command_fuzz() {
    local target=${1:-} seconds=${2:-60} failed=0
    case $target in *[!0-9]* | '') ;; *) seconds=$target target='' ;; esac
    case $seconds in *[!0-9]* | '') usage_error "fuzz: '$seconds' is no number of seconds" ;; esac
    build_preset fuzz
    [ -n "$(fuzz_targets)" ] || die "no fuzz target in build/fuzz/bin"
    if [ -n "$target" ] && [ ! -x "build/fuzz/bin/$target" ]; then
        usage_error "fuzz: no target '$target'; there are: $(fuzz_targets | tr '\n' ' ')"
    fi
    for target in ${target:-$(fuzz_targets)}; do
        say "fuzzing $target for $seconds s"
        fuzz_one "$target" "$seconds" || failed=1
    done
    return "$failed"
}
