# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#? ./dev fuzz [TARGET] [SECONDS]
#? Fuzz one target or all of them (60 s each by default)
#?
#? Starts from tests/fuzz/corpus/TARGET and writes new inputs and crashes (crash-*) to
#? build/fuzz/corpus/TARGET. Exit status 1 if a target failed.

# shellcheck source=scripts/fuzzing.sh
. "$top/scripts/fuzzing.sh"

command_fuzz() {
    local target=${1:-} seconds=${2:-60} failed=0
    case $target in *[!0-9]* | '') ;; *) seconds=$target target='' ;; esac
    case $seconds in *[!0-9]* | '') usage_error "fuzz: '$seconds' is not a number of seconds" ;; esac
    build_preset fuzz
    [ -n "$(fuzz_targets)" ] || die "no fuzz target in build/fuzz/bin"
    if [ -n "$target" ] && [ ! -x "build/fuzz/bin/$target" ]; then
        usage_error "fuzz: unknown target '$target'; targets: $(fuzz_targets | tr '\n' ' ')"
    fi
    for target in ${target:-$(fuzz_targets)}; do
        say "fuzzing $target for $seconds s"
        fuzz_one "$target" "$seconds" || failed=1
    done
    return "$failed"
}
