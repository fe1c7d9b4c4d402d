# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Debian packages by purpose, and the Python packages of the tests. Names with a version pin a tool to
# that of Debian 12, so that its results are the same everywhere.

declare -A packages=(
    [build]="gcc libc6-dev linux-libc-dev binutils make cmake ninja-build patch perl xz-utils bzip2
        ca-certificates curl git"
    [demo]="git gcc libc6-dev python3"
    [format]="git clang-format-14"
    [lint]="git cppcheck clang-tidy-14 shellcheck"
    [unit]="libcmocka-dev busybox-static"
    [blackbox]="openssh-client openssh-server openssh-sftp-server busybox-static docker-registry file git git-lfs
        binutils procps strace util-linux iproute2 fish tcsh zsh locales chromium fonts-dejavu-core
        prometheus"
    [interop]="dropbear-bin putty-tools golang-go nodejs npm"
    [engine]="docker.io docker-registry podman runc iproute2 iptables busybox-static util-linux git git-lfs
        redis-server postgresql-15"
    [docs]="zsh rpm util-linux"
    [python]="python3 python3-venv"
    [fuzz]="clang clang-14 libclang-rt-14-dev llvm-14"
    [bench]="gcc libc6-dev golang-go openssh-server openssh-client dropbear-bin tini dumb-init openssl
        util-linux iproute2"
    [go]="golang-go"
    [package]="golang-go python3 gzip tar"
    [package-test]="mandoc rpm rpmlint cpio mmdebstrap logrotate util-linux"
    [images]="buildah debootstrap git nodejs npm openssh-client"
    [arm64]="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static file openssh-client"
)

# Without apt: the program of a package whose name differs, ":HEADER" for a header, "-" for what others
# bring along.
declare -A program_of=(
    [libc6-dev]=:stdio.h [linux-libc-dev]=:linux/version.h [binutils]=ld [ninja-build]=ninja [xz-utils]=xz
    [ca-certificates]=- [libcmocka-dev]=:cmocka.h [busybox-static]=busybox [openssh-client]=ssh
    [openssh-server]=sshd [openssh-sftp-server]=- [procps]=ps [util-linux]=unshare [locales]=locale
    [dropbear-bin]=dropbear [putty-tools]=plink [golang-go]=go [nodejs]=node [docker.io]=dockerd
    [iproute2]=ip [python3-venv]=- [libclang-rt-14-dev]=- [llvm-14]=llvm-symbolizer-14
    [gcc-aarch64-linux-gnu]=aarch64-linux-gnu-gcc [libc6-dev-arm64-cross]=-
    [qemu-user-static]=qemu-aarch64-static
)

# lacking_program PACKAGE: prints what is missing of it, if anything.
lacking_program() {
    local program=${program_of[$1]:-$1}
    case $program in
    -) ;;
    :*) header_is_there "${program#:}" || printf '<%s>\n' "${program#:}" ;;
    *) PATH=$PATH:/usr/sbin:/sbin have "$program" || printf '%s\n' "$program" ;;
    esac
}

header_is_there() { printf '#include <%s>\n' "$1" | gcc -E - >/dev/null 2>&1; }

# missing_packages PURPOSE...: names, one a line; without apt, programs and headers.
missing_packages() {
    local purpose name
    # Any installed version of these will do.
    local -A programs=([golang-go]=go [nodejs]=node [npm]=npm)
    for purpose in "$@"; do
        for name in ${packages[$purpose]}; do
            if ! have apt-get; then
                lacking_program "$name"
                continue
            fi
            if [ -n "${programs[$name]:-}" ] && have "${programs[$name]}"; then continue; fi
            installed "$name" || printf '%s\n' "$name"
        done
    done | sort -u
}

# need_packages PURPOSE...: installs missing packages with apt; without apt, names all that is missing.
need_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    if [ ${#missing[@]} != 0 ] && ! have apt-get; then
        die "missing: ${missing[*]}; install them with this system's package manager"
    fi
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

# apt_get LOG WORD...: waits for the lock of another apt.
apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -q "${@:2}" >>"$1" 2>&1
}

# Runs apt-get update once per call of ./dev: the mark contains the process id, which subshells share.
apt_update() {
    local log=$top/build/apt.log
    mkdir -p "$top/build"
    [ "$(cat "$top/build/.apt-updated" 2>/dev/null)" != $$ ] || return 0
    : >"$log"
    apt_get "$log" update ||
        say "dev: warning: apt-get update failed (build/apt.log), using the old package lists"
    echo $$ >"$top/build/.apt-updated"
}

apt_install() {
    local log=$top/build/apt.log
    if [ "$(id -u)" != 0 ] && ! have sudo; then
        die "missing packages and neither root nor sudo; as root: apt-get install $*"
    fi
    say "installing: $*"
    apt_update
    apt_get "$log" install -y --no-install-recommends "$@" || {
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
