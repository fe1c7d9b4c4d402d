#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Downloads the pinned tarball of one library to a directory and checks its SHA-256.
#
#   fetch.sh NAME DIRECTORY
#
# Sources, in this order: the directory itself, BERTH_TARBALLS (a directory with tarballs), Debian's
# source packages on the mirrors of this machine, the project's release address. A file whose SHA-256
# differs from sources.lock, or from the list in BERTH_SOURCES, is not kept.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
list=${BERTH_SOURCES:-$here/sources.lock}
name=${1:?name of a library} dir=${2:?directory for tarballs}
read -r _ version tarball sha256 address < <(grep -E "^$name " "$list") || {
    echo "fetch: '$name' is not in '$list'" >&2
    exit 1
}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
tried=

# Dates are not checked: an outdated mirror does no harm, because the SHA-256 decides.
#
# A private apt configuration: source lists of all suites that may have the version, on the mirrors of
# this machine. The machine's own configuration and lists are not changed.
apt_setup() {
    apt_root=$dir/.apt
    export APT_CONFIG=$apt_root/apt.conf
    # Lists older than half a day may name files that the mirror has dropped.
    [ -n "$(find "$apt_root/ready" -mmin -720 2>/dev/null)" ] && return
    mkdir -p "$apt_root/lists/partial" "$apt_root/cache/archives/partial"
    unset APT_CONFIG
    # shellcheck disable=SC2016 # apt's own placeholders
    apt-get indextargets --format '$(LABEL)|$(REPO_URI)|$(SIGNED_BY)' 'Created-By: Packages' \
        'Origin: Debian' 2>/dev/null | sort -u >"$apt_root/mirrors" || true
    if [ ! -s "$apt_root/mirrors" ]; then
        if [ "$(id -u)" = 0 ]; then apt-get update -qq >&2 || true; fi
        # shellcheck disable=SC2016
        apt-get indextargets --format '$(LABEL)|$(REPO_URI)|$(SIGNED_BY)' 'Created-By: Packages' \
            'Origin: Debian' 2>/dev/null | sort -u >"$apt_root/mirrors"
    fi
    local label uri key suites suite
    : >"$apt_root/sources.list"
    while IFS='|' read -r label uri key; do
        # A source without a key of its own shows the placeholder.
        case $key in '$'*) key= ;; esac
        case $label in
        Debian) suites="sid testing stable" ;;
        Debian-Security) suites="stable-security" ;;
        *) continue ;;
        esac
        for suite in $suites; do
            echo "deb-src ${key:+[signed-by=$key] }$uri $suite main" >>"$apt_root/sources.list"
        done
    done <"$apt_root/mirrors"
    # A mirror that lags has lists that expired; the pinned SHA-256 is what is trusted here.
    cat >"$apt_root/apt.conf" <<CONF
Acquire::Check-Valid-Until "false";
Dir::State "$apt_root";
Dir::State::lists "$apt_root/lists";
Dir::Cache "$apt_root/cache";
Dir::Etc::sourcelist "$apt_root/sources.list";
Dir::Etc::sourceparts "-";
APT::Sandbox::User "root";
Acquire::Check-Valid-Until "false";
CONF
    export APT_CONFIG=$apt_root/apt.conf
    apt-get update -qq >"$apt_root/update.log" 2>&1 || true
    if compgen -G "$apt_root/lists/*_Sources*" >/dev/null; then
        date >"$apt_root/ready"
    else
        echo "fetch: no source list could be had from the machine's mirrors:" >&2
        tail -n 5 "$apt_root/update.log" >&2
    fi
}

# Debian revisions come and go while the upstream tarball stays, so every listed revision of the
# pinned upstream version is tried.
from_debian() {
    command -v apt-get >/dev/null || return 1
    apt_setup
    local revision
    for revision in $(apt-cache madison "$name" 2>/dev/null | awk '{print $3}' | sort -rVu); do
        case $revision in "$version"-*) ;; *) continue ;; esac
        (cd "$dir" && apt-get source -qq --download-only --tar-only "$name=$revision") \
            >>"$apt_root/fetch.log" 2>&1 || true
        [ -s "$dir/$tarball" ] && return 0
    done
    return 1
}

from_directory() {
    [ -n "${BERTH_TARBALLS:-}" ] && [ -s "$BERTH_TARBALLS/$tarball" ] || return 1
    cp "$BERTH_TARBALLS/$tarball" "$dir/$tarball.part" && mv "$dir/$tarball.part" "$dir/$tarball"
}

from_project() {
    command -v curl >/dev/null || return 1
    curl --fail --silent --show-error --location --connect-timeout 15 --max-time 600 \
        --output "$dir/$tarball.part" "$address" && mv "$dir/$tarball.part" "$dir/$tarball"
}

checked() {
    [ -s "$dir/$tarball" ] || return 1
    local found
    found=$(sha256sum "$dir/$tarball" | cut -d' ' -f1)
    [ "$found" = "$sha256" ] && return 0
    echo "fetch: '$tarball' has SHA-256 $found, sources.lock says $sha256; dropped" >&2
    rm -f "$dir/$tarball"
    return 1
}

checked && exit 0
for way in from_directory from_debian from_project; do
    tried="$tried $way"
    "$way" || continue
    if checked; then exit 0; fi
done
cat >&2 <<TXT
fetch: cannot get $name $version ($tarball); tried:$tried
Put that file into a directory and name it in BERTH_TARBALLS, or move the pin in
deps/sources.lock to a version that is served today.
TXT
exit 1
