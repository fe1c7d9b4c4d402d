#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds the pinned libraries into build/deps/FLAVOUR, showing one line per step.
#
#   build.sh musl    static, against musl: what the released programs link
#   build.sh host    static, against the machine's libc; libssh with AddressSanitizer and UBSan
#   build.sh musl-arm64   as musl, for aarch64, by Debian's cross compiler
#
# A second word 'agent' leaves out what only the driver links.
#
# Each library has a stamp named after the hash of its pin, its recipe and the compiler: a second run
# does nothing, and a changed recipe rebuilds that library and those after it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/.." && pwd)
flavour=${1:?musl, musl-arm64 or host}
deps=${BERTH_DEPS_DIR:-$top/build/deps}
mkdir -p "$deps/$flavour"
deps=$(cd "$deps" && pwd)
tarballs=$deps/tarballs
prefix=$deps/$flavour/prefix
source_dir=$deps/$flavour/src
log_dir=$deps/$flavour/log
jobs=$(nproc)
mkdir -p "$tarballs" "$prefix/bin" "$prefix/include" "$source_dir" "$log_dir"
exec 9>"$deps/$flavour/lock"
if ! flock -n 9; then
    printf '  %-10s waiting for another build of these libraries\n' "$flavour"
    flock 9
fi

# The same bytes from any directory and at any time.
export SOURCE_DATE_EPOCH=1 TZ=UTC LC_ALL=C
hidden="-ffile-prefix-map=$deps/$flavour=/berth"
tools=
libraries=(openssl libsodium libssh cjson expat curl)
[ "${2:-}" != agent ] || libraries=(openssl libsodium libssh)
case $flavour in
musl | musl-arm64)
    # Nothing unwinds a stack at run time: its tables would only fill the programs.
    no_unwinding="-fno-asynchronous-unwind-tables -fno-unwind-tables"
    base_flags="-O2 -fPIE -ffunction-sections -fdata-sections -fstack-protector-strong $no_unwinding"
    # For what spends no time worth the bytes: OpenSSL and libssh move the data.
    small_flags="$base_flags -Os"
    ;;
host)
    base_flags="-O1 -g -fPIC -fno-omit-frame-pointer"
    small_flags=$base_flags
    ;;
*) echo "build: unknown flavour '$flavour': musl, musl-arm64 or host" >&2; exit 1 ;;
esac
sanitize="-fsanitize=address,undefined"

# The compiler is called by name, with all flags inside a wrapper, because OpenSSL compiles its
# compiler command into the library.
write_compiler() {
    local specs=
    [ "$flavour" = musl ] && specs="-specs=$prefix/lib/berth.specs"
    write_program berth-cc "exec gcc $specs $hidden \"\$@\""
    write_program berth-ar 'exec ar "$@"'
}

# Moved into place: another build that shares these libraries may be executing the one there.
write_program() {
    printf '#!/bin/sh\n%s\n' "$2" >"$prefix/bin/$1.$$"
    chmod +x "$prefix/bin/$1.$$"
    mv -f "$prefix/bin/$1.$$" "$prefix/bin/$1"
}

# gcc specs that make every link a static PIE against musl: position independent addresses cost
# one relocation pass at start and make the SSH server's addresses unpredictable. From 13 on gcc refuses
# options that no spec mentions: CMake gives -rdynamic, which means nothing here.
write_specs() {
    local lib=$prefix/lib
    cat >"$lib/berth.specs" <<SPECS
%rename cpp_options old_cpp_options

*cpp_options:
-nostdinc -isystem $prefix/include -isystem include%s %(old_cpp_options)

*cc1:
%(cc1_cpu) -nostdinc -isystem $prefix/include -isystem include%s

*link_libgcc:
-L$lib -L .%s

*libgcc:
libgcc.a%s libgcc_eh.a%s

*startfile:
$lib/rcrt1.o $lib/crti.o crtbeginS.o%s

*endfile:
crtendS.o%s $lib/crtn.o

*link:
-static -pie --no-dynamic-linker -z text -z pack-relative-relocs -nostdlib -z relro -z now --build-id=none %{rdynamic:}

*esp_link:


*esp_options:


*esp_cpp_options:


SPECS
}

recipe_musl() {
    # No stack protector: the C library sets it up.
    CC=gcc CFLAGS="$hidden -O2 -fPIE -ffunction-sections -fdata-sections $no_unwinding" \
        ./configure --prefix="$prefix" \
        --syslibdir="$prefix/lib" --disable-shared --disable-wrapper
    make -j"$jobs"
    make install
    # musl brings no kernel headers; OpenSSL and ourselves need the machine's.
    local multiarch part
    multiarch=$(gcc -print-multiarch)
    for part in linux asm-generic; do ln -sfn "/usr/include/$part" "$prefix/include/$part"; done
    ln -sfn "/usr/include/$multiarch/asm" "$prefix/include/asm"
    write_specs
}

recipe_openssl() {
    local target
    target=linux-$(uname -m)
    [ "$flavour" = musl ] || base_flags="$base_flags -fPIC"
    # An empty OPENSSLDIR: no file of the machine is ever read.
    CC=berth-cc AR=berth-ar CFLAGS="$base_flags" ./Configure "$target" --prefix=/berth \
        --openssldir=/nonexistent --libdir=lib no-shared no-dso no-module no-engine no-afalgeng \
        no-async no-apps no-tests no-docs no-legacy no-autoload-config no-dtls no-quic no-comp \
        no-ssl3 no-weak-ssl-ciphers no-srp no-psk no-idea no-seed no-camellia no-aria no-bf no-cast \
        no-rc2 no-rc4 no-md4 no-mdc2 no-rmd160 no-whirlpool no-sm2 no-sm3 no-sm4 no-siphash no-ts \
        no-cms no-cmp no-ct no-gost no-ocsp no-rfc3779 no-slh-dsa no-ui-console no-scrypt no-srtp \
        no-unit-test no-uplink no-zlib no-tfo no-http no-multiblock no-dsa no-ml-dsa no-ec2m \
        no-argon2 no-blake2 no-siv no-ocb no-cmac no-tls1 no-tls1_1 no-nextprotoneg \
        no-integrity-only-ciphers no-tls-deprecated-ec no-dgram no-thread-pool \
        no-default-thread-pool no-filenames
    make -j"$jobs" build_libs
    make DESTDIR="$deps/$flavour/stage" install_dev
    cp -a "$deps/$flavour/stage/berth/." "$prefix/"
    rm -rf "$deps/$flavour/stage"
}

recipe_libsodium() {
    CC=berth-cc CFLAGS="$small_flags" ./configure --prefix="$prefix" --disable-shared --enable-static \
        --disable-dependency-tracking
    make -j"$jobs"
    make install
}

# Cache variables keep the machine's own libraries out of the search.
cmake_library() {
    local cflags=$1
    shift
    cmake -S "$1" -B berth-build -G Ninja -DCMAKE_BUILD_TYPE=None -DCMAKE_C_COMPILER="$prefix/bin/berth-cc" \
        -DCMAKE_C_FLAGS="$cflags" -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib \
        -DCMAKE_FIND_ROOT_PATH="$prefix" -DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY \
        -DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY -DCMAKE_FIND_ROOT_PATH_MODE_PACKAGE=ONLY \
        -DBUILD_SHARED_LIBS=OFF "${@:2}"
    cmake --build berth-build -j "$jobs"
    cmake --install berth-build
}

recipe_libssh() {
    local flags="$base_flags -DMAX_BUF_SIZE=65536"
    [ "$flavour" = host ] && flags="$flags $sanitize"
    cmake_library "$flags" . -DWITH_SERVER=ON -DWITH_SFTP=OFF -DWITH_ZLIB=OFF -DWITH_GSSAPI=OFF \
        -DWITH_PCAP=OFF -DWITH_NACL=OFF -DWITH_GEX=OFF -DWITH_EXEC=OFF -DWITH_FIDO2=OFF \
        -DWITH_EXAMPLES=OFF -DUNIT_TESTING=OFF -DWITH_SYMBOL_VERSIONING=OFF \
        -DGLOBAL_CLIENT_CONFIG=/nonexistent -DGLOBAL_BIND_CONFIG=/nonexistent
}

recipe_cjson() {
    cmake_library "$small_flags" . -DENABLE_CJSON_TEST=OFF -DENABLE_CJSON_UTILS=OFF \
        -DENABLE_CUSTOM_COMPILER_FLAGS=OFF -DCMAKE_POLICY_VERSION_MINIMUM=3.5
}

recipe_expat() {
    cmake_library "$small_flags" expat -DEXPAT_SHARED_LIBS=OFF -DEXPAT_BUILD_TOOLS=OFF \
        -DEXPAT_BUILD_EXAMPLES=OFF -DEXPAT_BUILD_TESTS=OFF -DEXPAT_BUILD_DOCS=OFF
}

recipe_curl() {
    cmake_library "$small_flags" . -DBUILD_CURL_EXE=OFF -DBUILD_STATIC_LIBS=ON -DBUILD_LIBCURL_DOCS=OFF \
        -DBUILD_MISC_DOCS=OFF -DENABLE_CURL_MANUAL=OFF -DBUILD_TESTING=OFF -DBUILD_EXAMPLES=OFF \
        -DHTTP_ONLY=ON -DCURL_USE_OPENSSL=ON -DCURL_USE_LIBSSH2=OFF -DCURL_USE_LIBPSL=OFF \
        -DCURL_ZLIB=OFF -DCURL_BROTLI=OFF -DCURL_ZSTD=OFF -DUSE_NGHTTP2=OFF -DUSE_LIBIDN2=OFF \
        -DCURL_DISABLE_ALTSVC=ON -DCURL_DISABLE_COOKIES=ON -DCURL_DISABLE_DOH=ON \
        -DCURL_DISABLE_HSTS=ON -DCURL_DISABLE_NETRC=ON -DCURL_DISABLE_WEBSOCKETS=ON \
        -DCURL_DISABLE_NTLM=ON -DCURL_DISABLE_NEGOTIATE_AUTH=ON -DCURL_DISABLE_KERBEROS_AUTH=ON \
        -DENABLE_UNIX_SOCKETS=ON -DENABLE_THREADED_RESOLVER=ON -DCURL_CA_BUNDLE=none -DCURL_CA_PATH=none
}

stamp_of() {
    {
        grep -E "^$1 " "$here/sources.lock" | awk '{print $2, $4}'
        [ ! -e "$here/patches/$1.patch" ] || cat "$here/patches/$1.patch"
        declare -f "recipe_$1" cmake_library write_compiler write_specs
        echo "$base_flags $small_flags $sanitize $previous"
        "${tools}gcc" --version | head -n 1
    } | sha256sum | cut -c1-16
}

# Runs in a shell of its own, so that 'set -e' holds inside, and in a process group of its own, so
# that an interrupted build leaves no compiler running.
fetch_and_build() {
    local name=$1 unpacked=$source_dir/$1
    flock "$tarballs/.lock" "$here/fetch.sh" "$name" "$tarballs"
    rm -rf "$unpacked"
    mkdir -p "$unpacked"
    tar -xf "$tarballs/$(grep -E "^$name " "$here/sources.lock" | awk '{print $3}')" \
        -C "$unpacked" --strip-components=1
    cd "$unpacked"
    [ ! -e "$here/patches/$name.patch" ] || patch -p1 <"$here/patches/$name.patch"
    set -x
    "recipe_$name"
}

declare -A stamps=() # by library
declare -A running=() began=() # process and start of those that are being built

begin() {
    set -m
    (fetch_and_build "$1") >"$log_dir/$1.log" 2>&1 &
    running[$1]=$!
    set +m
    began[$1]=$SECONDS
}

finish() {
    local name=$1 process=${running[$1]} label seconds=$((SECONDS - began[$1]))
    label=$(printf '  %-10s %-10s' "$flavour" "$name")
    if ! wait "$process"; then
        printf '%s failed after %d s; the end of %s:\n' "$label" "$seconds" "$log_dir/$name.log"
        tail -n 25 "$log_dir/$name.log"
        exit 1
    fi
    unset "running[$name]"
    rm -rf "${source_dir:?}/$name" "$prefix"/.done-"$name"-*
    : >"$prefix/.done-$name-${stamps[$name]}"
    printf '%s built in %d s\n' "$label" "$seconds"
}

# Shows that a long build goes on: a counting line on a terminal, else a line now and then.
show_progress() {
    local text
    text=$(printf '  %-10s %s' "$flavour" "$(printf '%s\n' "${!running[@]}" | sort | paste -sd ' ')")
    if [ -t 1 ]; then
        printf '\r\033[K%s %d s ' "$text" "$1"
    elif [ "$1" -gt 0 ] && [ $(($1 % 15)) = 0 ]; then
        printf '%s still going, %d s\n' "$text" "$1"
    fi
}

# together NAME...: those that are not there as wanted, beside one another. Half of their time goes
# into configure scripts, which keep one processor busy.
together() {
    local name seconds=0
    for name in "$@"; do
        [ -e "$prefix/.done-$name-${stamps[$name]}" ] || begin "$name"
    done
    while [ ${#running[@]} -gt 0 ]; do
        show_progress "$seconds"
        sleep 1
        seconds=$((seconds + 1))
        if [ -t 1 ]; then printf '\r\033[K'; fi
        for name in "${!running[@]}"; do
            kill -0 "${running[$name]}" 2>/dev/null || finish "$name"
        done
    done
}

trap 'for process in "${running[@]}"; do kill -TERM -- "-$process" 2>/dev/null || true; done' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
export PATH="$prefix/bin:$PATH" PKG_CONFIG_LIBDIR="$prefix/lib/pkgconfig" PKG_CONFIG_PATH=
if [ "$flavour" = musl-arm64 ]; then
    # shellcheck source=deps/arm64.sh
    . "$here/arm64.sh"
fi
case $flavour in
musl | musl-arm64)
    [ -e "$prefix/lib/berth.specs" ] || rm -f "$prefix"/.done-musl-*
    libraries=(musl "${libraries[@]}")
    ;;
esac
previous=$flavour
for library in "${libraries[@]}"; do
    stamps[$library]=$(stamp_of "$library")
    previous=${stamps[$library]}
done
# Those of the names that this flavour has.
wave() {
    local name chosen=()
    for name in "$@"; do [ -z "${stamps[$name]:-}" ] || chosen+=("$name"); done
    together "${chosen[@]}"
}

missing() {
    local name
    for name in "${libraries[@]}"; do
        [ -e "$prefix/.done-$name-${stamps[$name]}" ] || return 0
    done
    return 1
}

# The compiler's wrapper may be in use by the build of another tree: it is left alone when all is there.
missing || exit 0
wave musl
write_compiler
wave openssl libsodium cjson expat
wave libssh curl
