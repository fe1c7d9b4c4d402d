# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#? ./dev build [release|sanitize|fuzz|arm64]
#? Build berth-agent and berth-driver, static, into build/release/bin
#?
#? Installs missing Debian packages (root or sudo), fetches the pinned libraries as source and builds
#? them once into build/deps, then builds the programs. The first time takes some minutes.
#?
#?   release    what is shipped: static, stripped, hardened (the default)
#?   sanitize   with AddressSanitizer and UBSan, and the unit tests; into build/sanitize
#?   fuzz       the libFuzzer targets, by clang; into build/fuzz
#?   arm64      the agent for aarch64, cross-built; into build/release-arm64
#?
#? Environment: BERTH_DEPS_DIR (where the libraries are built), BERTH_TARBALLS (a directory of
#? source tarballs brought by hand).

command_build() {
    case ${1:-release} in
    release | sanitize | fuzz | arm64) build_preset "${1:-release}" ;;
    *) usage_error "build: unknown build '$1': release, sanitize, fuzz or arm64" ;;
    esac
    case ${1:-release} in
    fuzz) ;;
    arm64) stat -c '  %n  %s bytes' build/release-arm64/bin/berth-agent ;;
    *) stat -c '  %n  %s bytes' "build/${1:-release}"/bin/berth-* ;;
    esac
}
