# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#? ./dev fetch
#? Download the pinned library sources into build/deps/tarballs and verify them
#?
#? Afterwards './dev build' needs no network. deps/sources.lock holds versions and SHA-256.

command_fetch() {
    [ $# = 0 ] || usage_error "fetch: unexpected argument '$1'"
    need_packages build
    local name version sha256
    while read -r name version _ sha256 _; do
        deps/fetch.sh "$name" "$deps/tarballs"
        say "  $name $version $sha256"
    done < <(grep -E '^[a-z]' deps/sources.lock)
}
