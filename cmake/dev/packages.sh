# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Debian packages by purpose, and the Python packages of the tests. Names that carry a version pin
# the tool to what Debian 12 has, so that its verdict is the same everywhere.

declare -A packages=(
    [build]="gcc libc6-dev linux-libc-dev binutils make cmake ninja-build patch perl xz-utils bzip2
        ca-certificates curl git"
    [demo]="git gcc libc6-dev python3"
    [format]="git clang-format-14"
    [lint]="git cppcheck clang-tidy-14 shellcheck"
    [unit]="libcmocka-dev busybox-static"
    [blackbox]="openssh-client openssh-server openssh-sftp-server busybox-static file binutils procps strace
        util-linux"
    [interop]="dropbear-bin putty-tools golang-go nodejs npm"
    [engine]="docker.io docker-registry iproute2 iptables busybox-static util-linux"
    [python]="python3 python3-venv"
    [fuzz]="clang clang-14 libclang-rt-14-dev llvm-14"
    [bench]="gcc libc6-dev golang-go openssh-server openssh-client dropbear-bin tini dumb-init openssl
        util-linux"
    [go]="golang-go"
    [images]="buildah debootstrap git nodejs npm openssh-client"
    [arm64]="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static file openssh-client"
)

# missing_packages PURPOSE...: names, one a line.
missing_packages() {
    local purpose name
    # Where one is there already, it is as good as Debian's.
    local -A programs=([golang-go]=go [nodejs]=node [npm]=npm)
    for purpose in "$@"; do
        for name in ${packages[$purpose]}; do
            if [ -n "${programs[$name]:-}" ] && have "${programs[$name]}"; then continue; fi
            installed "$name" || printf '%s\n' "$name"
        done
    done | sort -u
}

# need_packages PURPOSE...: installs by apt what is missing, and only that.
need_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        return 1
    fi
}

# apt-get update once per call of ./dev: the mark carries its process number, which subshells share.
# Another apt may be at work, as on a machine that has just started: its lock is waited for.
apt_install() {
    have apt-get || die "no apt-get here; install these by hand: $*"
    if [ "$(id -u)" != 0 ] && ! have sudo; then
        die "missing packages and neither root nor sudo; as root: apt-get install $*"
    fi
    say "installing: $*"
    mkdir -p "$top/build"
    local log=$top/build/apt.log
    if [ "$(cat "$top/build/.apt-updated" 2>/dev/null)" != $$ ]; then
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 update -q >"$log" 2>&1 ||
            say "dev: warning: apt-get update failed (build/apt.log), trying with the lists there are"
        echo $$ >"$top/build/.apt-updated"
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -q \
        --no-install-recommends "$@" >>"$log" 2>&1 || {
        tail -n 15 "$log" >&2
        die "cannot install the packages above; the whole output is in build/apt.log"
    }
}

# The tests' Python packages in build/venv, by version and hash.
need_venv() {
    need_packages python
    local wanted
    wanted=$(sha256sum tests/requirements.txt | cut -c1-16)
    [ -e "$venv/.done-$wanted" ] && return
    say "installing the tests' Python packages into build/venv"
    rm -rf "$venv"
    mkdir -p "$top/build"
    if ! { "$python" -m venv "$venv" &&
        "$venv/bin/pip" install --quiet --disable-pip-version-check --no-input --require-hashes \
            -r tests/requirements.txt; } >"$top/build/venv.log" 2>&1; then
        tail -n 15 "$top/build/venv.log" >&2
        die "cannot install tests/requirements.txt; the whole output is in build/venv.log"
    fi
    : >"$venv/.done-$wanted"
}
