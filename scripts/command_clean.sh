# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#? ./dev clean [--all]
#? Remove build output; --all: libraries and tarballs, too
#?
#? Keeps build/deps, which takes minutes to build.

command_clean() {
    case ${1:-} in
    '') find build -mindepth 1 -maxdepth 1 ! -name deps -exec rm -rf {} + 2>/dev/null || true ;;
    --all) rm -rf build ;;
    *) usage_error "clean: unknown option '$1'; './dev clean --help'" ;;
    esac
}
