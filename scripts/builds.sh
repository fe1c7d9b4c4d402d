# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The builds of CMakePresets.json, with packages and libraries.

# build_preset release|sanitize|fuzz: libraries, configuration, programs.
build_preset() {
    local preset=$1 flavour=
    case $preset in
    release) need_packages build && flavour=musl ;;
    sanitize) need_packages build unit && flavour=host ;;
    fuzz) need_packages build fuzz && flavour=host ;;
    arm64)
        build_arm64
        return
        ;;
    esac
    [ -z "$flavour" ] || deps/build.sh "$flavour"
    configure "$preset" "$flavour"
    say "  build/$preset"
    cmake --build "build/$preset"
}

configure() {
    local preset=$1 flavour=$2 options=() log=$top/build/configure-$1.log
    mkdir -p "$top/build"
    [ -z "$flavour" ] || options+=("-DBERTH_PREFIX=$deps/$flavour/prefix")
    [ "$flavour" != musl ] || options+=("-DCMAKE_C_COMPILER=$deps/musl/prefix/bin/berth-cc")
    # CMake keeps its first compiler: start again if the libraries are elsewhere.
    if ! grep -qsF "BERTH_PREFIX:PATH=$deps/$flavour/prefix" "build/$preset/CMakeCache.txt"; then
        [ -z "$flavour" ] || rm -rf "build/$preset"
    fi
    if ! cmake --preset "$preset" "${options[@]}" >"$log" 2>&1; then
        cat "$log" >&2
        die "cannot configure build/$preset"
    fi
}

# Both programs for aarch64, and a second agent without its seccomp filter for the tests: qemu-user
# does not support seccomp.
build_arm64() {
    need_packages build arm64
    deps/build.sh musl-arm64
    local prefix=$deps/musl-arm64/prefix directory
    local options=("-DBERTH_PREFIX=$prefix" "-DCMAKE_TOOLCHAIN_FILE=$prefix/toolchain.cmake"
        "-DCMAKE_OBJCOPY=/usr/bin/aarch64-linux-gnu-objcopy")
    mkdir -p build
    cmake --preset release-arm64 "${options[@]}" >build/configure-arm64.log
    cmake --preset release-arm64 "${options[@]}" -B build/arm64-unfiltered -DBERTH_AGENT_ONLY=ON \
        -DCMAKE_C_FLAGS=-DCONFINE_FILTERS=false >>build/configure-arm64.log
    for directory in release-arm64 arm64-unfiltered; do
        say "  build/$directory"
        cmake --build "build/$directory"
    done
}
