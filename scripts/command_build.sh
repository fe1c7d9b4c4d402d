# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#? ./dev build [release|sanitize|fuzz|arm64]
#? Build berth-agent and berth-driver, static, into build/release/bin
#?
#? Installs missing Debian packages (root or sudo), fetches the pinned libraries as source and builds
#? them once into build/deps, then builds the programs. The first build takes some minutes.
#?
#?   release    static, hardened, stripped, with debug files beside them (the default)
#?   sanitize   with AddressSanitizer and UBSan, and the unit tests; into build/sanitize
#?   fuzz       the libFuzzer targets, by clang; into build/fuzz
#?   arm64      both programs for aarch64, cross-built; into build/release-arm64
#?
#? Environment: BERTH_DEPS_DIR (where the libraries are built), BERTH_TARBALLS (a directory with
#? source tarballs).

command_build() {
    case ${1:-release} in
    release | sanitize | fuzz | arm64) build_preset "${1:-release}" ;;
    *) usage_error "build: unknown build '$1': release, sanitize, fuzz or arm64" ;;
    esac
    case ${1:-release} in
    fuzz) ;;
    arm64) stat -c '  %n  %s bytes' build/release-arm64/bin/berth-{agent,driver} ;;
    *) stat -c "  %n  %s bytes" "build/${1:-release}"/bin/berth-{agent,driver} ;;
    esac
}
