# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Running libFuzzer programs. All of them are in build/fuzz/bin.

fuzz_targets() {
    find build/fuzz/bin -maxdepth 1 -type f -perm -u+x -printf '%f\n' 2>/dev/null | sort
}

# fuzz_one TARGET SECONDS
fuzz_one() {
    local found=build/fuzz/corpus/$1 seeds=tests/fuzz/corpus/$1 dictionary=tests/fuzz/$1.dict
    local directories=("$found") options=("-max_total_time=$2" -timeout=10 -rss_limit_mb=2048
        -print_final_stats=1 "-artifact_prefix=$found/")
    mkdir -p "$found"
    [ ! -d "$seeds" ] || directories+=("$seeds")
    [ ! -f "$dictionary" ] || options+=("-dict=$dictionary")
    "build/fuzz/bin/$1" "${options[@]}" "${directories[@]}"
}
