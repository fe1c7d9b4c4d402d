# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The steps of './dev test': each prints what is needed to understand a failure and returns non-zero
# then. 'count' reports the number of checks. Packages and builds are ready.

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

step_includes() {
    "$python" scripts/check_includes.py
}

step_cppcheck() {
    # The compiler and clang-tidy check style. legacyUninitvar, the old form of uninitvar, ignores
    # that '||' ends early. cppcheck does not define the processor.
    cppcheck -D"__$(uname -m)__=1" --project=build/sanitize/compile_commands.json --enable=warning,performance,portability \
        --inline-suppr --error-exitcode=1 --quiet -j "$(nproc)" \
        --suppress=normalCheckLevelMaxBranches --suppress=unmatchedSuppression --suppress=legacyUninitvar
}

# Beside tests with deadlines: hence 'nice', here and for the fuzz targets.
step_tidy() {
    nice -n 19 run-clang-tidy-14 -quiet -p build/sanitize -j "$(nproc)" "$top/.*\\.c\$" 2>&1 |
        sed 's/\x1b\[[0-9;]*m//g' >"$results/tidy.all" || {
        grep -E '(error|warning):' -A 6 "$results/tidy.all" || cat "$results/tidy.all"
        return 1
    }
}

step_unit() {
    local status=0 log=build/sanitize/Testing/Temporary/LastTest.log
    ctest --test-dir build/sanitize -j "$(nproc)" --output-on-failure --no-tests=error || status=$?
    # One program has many tests.
    count "$(cmocka_sum PASSED "$log")" "$(cmocka_sum FAILED "$log")" "$(cmocka_sum SKIPPED "$log")"
    return "$status"
}

cmocka_sum() {
    awk -v word="$1" 'index($0, word) && match($0, /\] [0-9]+ test\(s\)/) {
        split(substr($0, RSTART + 2), part, " "); sum += part[1] } END { print sum + 0 }' "$2"
}

step_toml() {
    local last
    scripts/toml_test.sh | tee "$results/toml.out"
    last=$(tail -n 1 "$results/toml.out")
    [[ $last =~ ^toml-test:\ ([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]
    count "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" 0
    [ "${BASH_REMATCH[2]}" = 0 ] && [ "${BASH_REMATCH[1]}" -gt 0 ]
}

# run_pytest NAME DIRECTORY [WORD...]: through 'wrapper', the words of a program that runs its last.
# Tests that fail run once more, one at a time: see scripts/junit.py. What passes then is 'unsteady',
# and is named with its log at the end.
wrapper=()
run_pytest() {
    local name=$1 status=0 report=$results/$1.xml again=$results/$1-again.xml words=("${@:3}" "$2") counted
    need_venv
    [ -z "$expression" ] || words+=(-k "$expression")
    rm -rf "$report" "$again" "$results/$name.cache"
    pytest_once "$report" || status=$?
    # 5: no test matched -k.
    if [ "$status" = 5 ] && [ -n "$expression" ]; then
        count 0 0 0
        return 0
    fi
    [ -s "$report" ]
    counted=("$report")
    if [ "$status" = 1 ] && "$python" scripts/junit.py again "$report"; then
        status=0
        echo "== again, one at a time"
        pytest_once "$again" --last-failed -n 0 || status=$?
        [ -s "$again" ]
        counted+=("$again")
        "$python" scripts/junit.py unsteady "${counted[@]}" >>"$unsteady"
    fi
    # shellcheck disable=SC2046 # three words
    count $("$python" scripts/junit.py counts "${counted[@]}")
    return "$status"
}

# pytest_once REPORT [WORD...]: with run_pytest's words and cache.
pytest_once() {
    PYTHONDONTWRITEBYTECODE=1 "${wrapper[@]}" "$venv/bin/pytest" -c tests/pytest.ini -q --junitxml="$1" \
        -o cache_dir="$results/$name.cache" "${words[@]}" "${@:2}"
}

step_runner() {
    run_pytest runner tests/runner -n "$(nproc)" tests/bench
}

# Tests with the mark 'waits' take many seconds for a deadline or a rate. Others run the same code, so
# the sanitizers do without them.

step_blackbox() {
    # They wait half of their time: hence many workers.
    BERTH_BIN=$top/build/release/bin run_pytest blackbox tests/blackbox \
        -n $((3 * $(nproc))) --dist worksteal --ignore tests/blackbox/engine
}

step_blackbox_sanitize() {
    BERTH_BIN=$top/build/sanitize/bin run_pytest blackbox-sanitize tests/blackbox -m "not waits" \
        -n $((3 * $(nproc))) --dist worksteal --ignore tests/blackbox/engine
}

# The steps that start engines have a network namespace of their own with loopback alone, if root can
# make one: two engines in one network remove each other's firewall rules.
own_network() {
    if [ "$(id -u)" = 0 ] && unshare --net true; then
        # shellcheck disable=SC2016 # of the inner shell
        wrapper=(unshare --net sh -c 'ip link set lo up && exec "$@"' sh)
    fi
}

step_engine() {
    own_network
    BERTH_BIN=$top/build/release/bin run_pytest engine tests/blackbox/engine -n $((2 * $(nproc))) \
        --dist loadgroup
}

# A sanitized agent needs a C library, which the image may lack: the released agent is used.
step_engine_sanitize() {
    own_network
    BERTH_AGENT=$top/build/release/bin/berth-agent BERTH_BIN=$top/build/sanitize/bin \
        run_pytest engine-sanitize tests/blackbox/engine -n $((2 * $(nproc))) \
            --dist loadgroup -m "not waits"
}

step_dockerfiles() {
    run_pytest dockerfiles tests/images/test_dockerfiles.py
}

# The first run takes some minutes, also inside fixtures: hence the longer timeout.
step_images() {
    BERTH_BIN=$top/build/release/bin run_pytest images tests/images --timeout 1500 \
        --ignore tests/images/test_dockerfiles.py --ignore tests/images/test_from_source.py \
        --ignore tests/images/test_ruby.py
}

step_ruby() {
    BERTH_BIN=$top/build/release/bin run_pytest ruby tests/images/test_ruby.py --timeout 3600
}

step_agent_image() {
    BERTH_BIN=$top/build/release/bin run_pytest agent-image tests/images/test_from_source.py --timeout 1800
}

# The driver's own tests, with the driver under qemu-user and an agent of this machine: qemu-user
# cannot start the embedded one. Left out: what sets another agent, or looks at the process itself.
step_arm64() {
    local bin=$top/build/arm64-qemu/bin status=0
    mkdir -p "$bin"
    # shellcheck disable=SC2016 # of the script
    printf '#!/bin/sh\nexec qemu-aarch64-static -0 "$0" "%s" "$@"\n' \
        "$top/build/release-arm64/bin/berth-driver" >"$bin/berth-driver"
    chmod +x "$bin/berth-driver"
    ln -sfn "$top/build/release/bin/berth-agent" "$bin/berth-agent"
    run_pytest arm64 tests/arm64 -n "$(nproc)" || status=1
    export BERTH_BIN=$bin BERTH_AGENT=$top/build/release/bin/berth-agent
    run_pytest arm64-driver tests/blackbox/test_driver_cli.py tests/blackbox/test_driver_stages.py \
        tests/blackbox/test_ecs_stages.py -n $((2 * $(nproc))) \
        -k "not broken_configuration and not dies_at_start and not key and not old_image" || status=1
    return "$status"
}

step_fuzz() {
    local target count found
    count=$(fuzz_targets | wc -l)
    [ "$count" -gt 0 ]
    # For all targets together, of time that other steps leave over.
    found=$(nice -n 10 "$BASH" -c '. scripts/fuzzing.sh && fuzz_all "$@"' fuzz \
        "${FUZZ_SECONDS:-$((count > 200 ? 1 : 200 / count))}" "$results")
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
    BERTH_BIN=$top/build/release/bin run_pytest docs tests/docs tests/deploy
}

step_binaries() {
    BERTH_DEPS_DIR=$deps run_pytest binaries tests/release --ignore tests/release/test_packages.py
}

step_package() {
    BERTH_DEPS_DIR=$deps run_pytest package tests/release/test_packages.py
}

step_demo() {
    run_pytest demo tests/demo
}
