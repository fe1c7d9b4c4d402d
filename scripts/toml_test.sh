#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs the toml-test suite on tests/toml/decoder.c of the sanitize build. The last line is
# "toml-test: N passed, N failed"; the exit status is 0 if all passed.
set -euo pipefail
cd "$(dirname "$0")/.."

# Builds with the Go 1.19 of Debian 12 and later ones.
version=v2.2.0
tools=$PWD/build/tools
tester=$tools/toml-test-$version
decoder=$PWD/build/sanitize/bin/toml-decoder
# The pinned version has more cases for TOML 1.0: fewer means that the suite did not run.
least=600

if [ ! -x "$decoder" ]; then
    echo "toml-test: no '$decoder'; build the 'sanitize' preset first" >&2
    exit 1
fi
if [ ! -x "$tester" ]; then
    mkdir -p "$tools"
    GOBIN=$tools GOTOOLCHAIN=local GOFLAGS=-p=2 \
        go install "github.com/toml-lang/toml-test/v2/cmd/toml-test@$version"
    mv "$tools/toml-test" "$tester"
fi

status=0
report=$(ASAN_OPTIONS=exitcode=99 UBSAN_OPTIONS=exitcode=99 \
    "$tester" test -toml 1.0 -color never -timeout 20s -parallel 2 -decoder "$decoder" 2>&1 | tr -d '\0') ||
    status=$?
printf '%s\n' "$report"

passed=$(sed -n 's/.*[^0-9]\([0-9]\+\) passed.*/\1/p' <<<" $report" | awk '{n += $1} END {print n + 0}')
failed=$(sed -n 's/.*[^0-9]\([0-9]\+\) failed.*/\1/p' <<<" $report" | awk '{n += $1} END {print n + 0}')
if [ "$passed" -lt "$least" ] && [ "$failed" -eq 0 ]; then
    echo "toml-test: only $passed cases were counted, expected $least or more" >&2
    failed=1
fi
if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
    failed=1
fi
echo "toml-test: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
