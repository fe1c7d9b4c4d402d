# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What build.sh does otherwise for the flavour musl-arm64: the same libraries, by Debian's cross
# compiler. Sourced by build.sh before anything is built.

cross=aarch64-linux-gnu
tools=$cross-
export AR=${tools}ar RANLIB=${tools}ranlib STRIP=${tools}strip NM=${tools}nm
export CMAKE_TOOLCHAIN_FILE=$prefix/toolchain.cmake

# The recipes ask for the machine that they build for.
uname() { [ "$*" = -m ] && echo aarch64; }

write_toolchain() {
    cat >"$CMAKE_TOOLCHAIN_FILE" <<CMAKE
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER "$prefix/bin/berth-cc")
set(CMAKE_AR "/usr/bin/${tools}ar" CACHE FILEPATH "")
set(CMAKE_RANLIB "/usr/bin/${tools}ranlib" CACHE FILEPATH "")
CMAKE
}

write_compiler() {
    printf '#!/bin/sh\nexec %sgcc -specs=%s %s "$@"\n' "$tools" "$prefix/lib/berth.specs" \
        "$hidden" >"$prefix/bin/berth-cc"
    printf '#!/bin/sh\nexec %sar "$@"\n' "$tools" >"$prefix/bin/berth-ar"
    chmod +x "$prefix/bin/berth-cc" "$prefix/bin/berth-ar"
    write_toolchain
}

recipe_musl() {
    CC=${tools}gcc CFLAGS="$hidden -O2 -fPIE -ffunction-sections -fdata-sections $no_unwinding" \
        ./configure --target=aarch64-linux-musl --prefix="$prefix" --syslibdir="$prefix/lib" --disable-shared \
        --disable-wrapper
    make -j"$jobs" AR="$AR" RANLIB="$RANLIB"
    make install
    # musl brings no kernel headers; those of the cross compiler's C library are the right ones.
    local part
    for part in linux asm-generic asm; do ln -sfn "/usr/$cross/include/$part" "$prefix/include/$part"; done
    write_specs
}

recipe_libsodium() {
    CC=berth-cc CFLAGS="$small_flags" ./configure --host=aarch64-linux-musl --prefix="$prefix" \
        --disable-shared --enable-static --disable-dependency-tracking
    make -j"$jobs"
    make install
}
