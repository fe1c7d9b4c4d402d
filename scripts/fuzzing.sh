# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Runs the libFuzzer programs in build/fuzz/bin.

fuzz_targets() {
    find build/fuzz/bin -maxdepth 1 -type f -perm -u+x -printf '%f\n' 2>/dev/null | sort
}

# fuzz_one TARGET SECONDS: the seeds first, then mutations.
fuzz_one() {
    local found=build/fuzz/corpus/$1 seeds=tests/fuzz/corpus/$1 dictionary=tests/fuzz/$1.dict
    local options=(-timeout=30 -rss_limit_mb=2048 "-artifact_prefix=$found/") status=0
    mkdir -p "$found"
    [ ! -f "$dictionary" ] || options+=("-dict=$dictionary")
    "build/fuzz/bin/$1" "${options[@]}" -runs=0 "$seeds" &&
        "build/fuzz/bin/$1" "${options[@]}" "-max_total_time=$2" -print_final_stats=1 "$found" "$seeds" ||
        status=$?
    [ "$status" = 0 ] || echo "$1: failed; to reproduce: build/fuzz/bin/$1 $found/crash-... (the file above)"
    return "$status"
}

# fuzz_all SECONDS DIRECTORY: runs each target, one per processor at a time, with its output in
# DIRECTORY/TARGET.log. Prints the names of failed targets.
fuzz_all() {
    export -f fuzz_one
    # shellcheck disable=SC2016 # the inner shell's
    fuzz_targets | xargs -P "$(nproc)" -I '{}' bash -c \
        'fuzz_one "$1" "$2" >"$3/$1.log" 2>&1 || echo "$1"' fuzz '{}' "$1" "$2"
}
