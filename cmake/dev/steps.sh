# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The steps of './dev test': each writes what a person needs to see of a failure, and returns not 0
# then. 'count' reports how many checks there were. Packages and builds are there already.

step_format() {
    local status=0
    need_venv
    if c_files | xargs -r clang-format-14 --dry-run -Werror >"$results/format.all" 2>&1; then
        count 1 0 0
    else
        count 0 1 0
        status=1
        say "clang-format 14 would change (./dev fmt does):"
        sed -n 's/^\([^ :]*\):[0-9]*:[0-9]*: error: .*/  \1/p' "$results/format.all" | sort | uniq -c
    fi
    if python_files | xargs -r "$venv/bin/ruff" format --check --diff; then
        count 1 0 0
    else
        count 0 1 0
        status=1
    fi
    return "$status"
}

step_shell() {
    shell_files | xargs shellcheck
}

step_python() {
    need_venv
    python_files | xargs -r "$venv/bin/ruff" check
}

step_cppcheck() {
    # Checks of style are left to the compiler and clang-tidy. legacyUninitvar is the old form of
    # uninitvar, which stays on: it overlooks that '||' ends early.
    # It does not define the processor by itself.
    cppcheck -D"__$(uname -m)__=1" --project=build/sanitize/compile_commands.json --enable=warning,performance,portability \
        --inline-suppr --error-exitcode=1 --quiet -j "$(nproc)" \
        --suppress=normalCheckLevelMaxBranches --suppress=unmatchedSuppression --suppress=legacyUninitvar
}

step_tidy() {
    run-clang-tidy-14 -quiet -p build/sanitize -j "$(nproc)" "$top/.*\\.c\$" 2>&1 |
        sed 's/\x1b\[[0-9;]*m//g' >"$results/tidy.all" || {
        grep -E '(error|warning):' -A 6 "$results/tidy.all" || cat "$results/tidy.all"
        return 1
    }
}

step_unit() {
    local status=0 log=build/sanitize/Testing/Temporary/LastTest.log
    ctest --test-dir build/sanitize -j "$(nproc)" --output-on-failure --no-tests=error || status=$?
    # cmocka's own lines: one program holds many tests.
    count "$(cmocka_sum PASSED "$log")" "$(cmocka_sum FAILED "$log")" "$(cmocka_sum SKIPPED "$log")"
    return "$status"
}

cmocka_sum() {
    awk -v word="$1" 'index($0, word) && match($0, /\] [0-9]+ test\(s\)/) {
        split(substr($0, RSTART + 2), part, " "); sum += part[1] } END { print sum + 0 }' "$2"
}

step_toml() {
    local last
    cmake/dev/toml_test.sh | tee "$results/toml.out"
    last=$(tail -n 1 "$results/toml.out")
    [[ $last =~ ^toml-test:\ ([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]
    count "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" 0
    [ "${BASH_REMATCH[2]}" = 0 ] && [ "${BASH_REMATCH[1]}" -gt 0 ]
}

# run_pytest NAME DIRECTORY [WORD...]
run_pytest() {
    local directory=$2 status=0 report=$results/$1.xml words=("${@:3}")
    need_venv
    [ -z "$expression" ] || words+=(-k "$expression")
    rm -f "$report"
    PYTHONDONTWRITEBYTECODE=1 "$venv/bin/pytest" -c tests/pytest.ini -q --junitxml="$report" \
        "${words[@]}" "$directory" || status=$?
    # 5: no test matched -k.
    if [ "$status" = 5 ] && [ -n "$expression" ]; then
        count 0 0 0
        return 0
    fi
    [ -s "$report" ]
    # shellcheck disable=SC2046 # three words
    count $("$python" cmake/dev/junit_counts.py "$report")
    return "$status"
}

step_runner() {
    run_pytest runner tests/runner -n "$(nproc)" tests/bench
}

# These tests wait half of their time, for deadlines and for silence.
many_workers() { echo "-n $(($(nproc) + 2)) --dist worksteal"; }

step_blackbox() {
    # shellcheck disable=SC2046 # words
    BERTH_BIN=$top/build/release/bin run_pytest blackbox tests/blackbox $(many_workers) \
        --ignore tests/blackbox/engine
}

step_blackbox_sanitize() {
    # shellcheck disable=SC2046 # words
    BERTH_BIN=$top/build/sanitize/bin run_pytest blackbox-sanitize tests/blackbox $(many_workers) \
        --ignore tests/blackbox/engine
}

step_engine() {
    BERTH_BIN=$top/build/release/bin run_pytest engine tests/blackbox/engine -n "$(nproc)"
}

# A sanitized agent needs the C library that an image may not have: the released one goes in.
step_engine_sanitize() {
    BERTH_AGENT=$top/build/release/bin/berth-agent BERTH_BIN=$top/build/sanitize/bin \
        run_pytest engine-sanitize tests/blackbox/engine -n "$(nproc)"
}

step_dockerfiles() {
    run_pytest dockerfiles tests/images/test_dockerfiles.py
}

# The first time takes some minutes, inside fixtures too: hence the longer limit of a test.
step_images() {
    BERTH_BIN=$top/build/release/bin run_pytest images tests/images --timeout 1500 \
        --ignore tests/images/test_dockerfiles.py --ignore tests/images/test_from_source.py
}

step_agent_image() {
    BERTH_BIN=$top/build/release/bin run_pytest agent-image tests/images/test_from_source.py --timeout 1800
}

step_arm64() {
    run_pytest arm64 tests/arm64 -n "$(nproc)"
}

step_fuzz() {
    local target count found
    count=$(fuzz_targets | wc -l)
    [ "$count" -gt 0 ]
    # All of them together take about 100 s of processor time, however many there are.
    found=$(fuzz_all "${FUZZ_SECONDS:-$((count > 100 ? 1 : 100 / count))}" "$results")
    for target in $found; do
        tail -n 40 "$results/$target.log"
        echo "FAILED $target"
    done
    # shellcheck disable=SC2086 # words
    set -- $found
    count $((count - $#)) $# 0
    [ $# = 0 ]
}

step_docs() {
    BERTH_BIN=$top/build/release/bin run_pytest docs tests/docs
}

step_binaries() {
    BERTH_DEPS_DIR=$deps run_pytest binaries tests/release
}

step_demo() {
    run_pytest demo tests/demo
}
