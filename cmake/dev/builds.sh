# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The three builds of CMakePresets.json, each with what it needs before it.

# build_preset release|sanitize|fuzz: libraries, configuration, programs.
build_preset() {
    local preset=$1 flavour=
    case $preset in
    release) need_packages build && flavour=musl ;;
    sanitize) need_packages build unit && flavour=host ;;
    fuzz) need_packages build fuzz ;;
    esac
    [ -z "$flavour" ] || cmake/deps/build.sh "$flavour"
    configure "$preset" "$flavour"
    say "  build/$preset"
    cmake --build "build/$preset"
}

configure() {
    local preset=$1 flavour=$2 options=() log=$top/build/configure-$1.log
    mkdir -p "$top/build"
    [ -z "$flavour" ] || options+=("-DBERTH_PREFIX=$deps/$flavour/prefix")
    [ "$flavour" != musl ] || options+=("-DCMAKE_C_COMPILER=$deps/musl/prefix/bin/berth-cc")
    # CMake keeps the first compiler it saw: libraries elsewhere mean a fresh start.
    if ! grep -qsF "BERTH_PREFIX:PATH=$deps/$flavour/prefix" "build/$preset/CMakeCache.txt"; then
        [ -z "$flavour" ] || rm -rf "build/$preset"
    fi
    if ! cmake --preset "$preset" "${options[@]}" >"$log" 2>&1; then
        cat "$log" >&2
        die "cannot configure build/$preset"
    fi
}
