# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#? ./dev fetch
#? Fetch the pinned library sources into build/deps/tarballs and check them
#?
#? Afterwards './dev build' needs no network. cmake/deps/sources.lock holds versions and SHA-256.

command_fetch() {
    [ $# = 0 ] || usage_error "fetch: takes no arguments"
    need_packages build
    local name version sha256
    while read -r name version _ sha256 _; do
        cmake/deps/fetch.sh "$name" "$deps/tarballs"
        say "  $name $version $sha256"
    done < <(grep -E '^[a-z]' cmake/deps/sources.lock)
}
