# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#? ./dev package [amd64|arm64]
#? Make .deb, .rpm and .tar.gz of both processors into dist/, with SBOM and checksums
#?
#? Builds both programs for both processors. 'amd64' or 'arm64' alone makes the packages of that
#? processor with the agents that are built already. Debug files are in archives of their own. Two runs on
#? one commit make the same bytes.
#?
#? Environment: BERTH_PACKAGE_VERSION (instead of the project's version, for tests of upgrades),
#? BERTH_DIST (instead of dist/).

command_package() {
    local wanted=("$@") processor
    [ $# -le 1 ] || usage_error "package: unexpected argument '$2'"
    case ${1:-all} in
    all) wanted=(amd64 arm64) ;;
    amd64 | arm64) ;;
    *) usage_error "package: unknown processor '$1': amd64 or arm64" ;;
    esac
    need_packages build package
    for processor in "${wanted[@]}"; do build_preset "$(preset_of "$processor")"; done
    # Help texts, the same on both, are asked of a program that runs here.
    [ -x build/release/bin/berth-driver ] || build_preset release
    package_all "${wanted[@]}"
}

preset_of() { if [ "$1" = amd64 ]; then echo release; else echo arm64; fi; }
programs_of() { if [ "$1" = amd64 ]; then echo "$top/build/release/bin"; else echo "$top/build/release-arm64/bin"; fi; }
machine_of() { if [ "$1" = amd64 ]; then echo x86_64; else echo aarch64; fi; }

package_all() {
    local dist=${BERTH_DIST:-$top/dist} work=$top/build/package version commit processor
    version=${BERTH_PACKAGE_VERSION:-$(sed -n 's/^project(berth VERSION \([0-9.]*\) .*/\1/p' CMakeLists.txt)}
    [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || die "'$version' is not a version N.N.N"
    commit=$(git_here log -1 --format=%H 2>/dev/null || echo unknown)
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git_here log -1 --format=%ct 2>/dev/null || echo 0)}
    export SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C
    umask 022
    # One at a time: tests make packages, too.
    exec 9>"$top/build/package.lock"
    flock 9
    need_nfpm
    rm -rf "$work" "$dist"
    mkdir -p "$work" "$dist"
    stage_texts "$work/texts" "$version"
    for processor in "$@"; do
        stage "$processor" "$work"
        pack "$processor" "$version" "$work/$processor" "$dist"
    done
    "$python" scripts/sbom.py bom "$version" "$commit" "$SOURCE_DATE_EPOCH" >"$dist/berth-$version.cdx.json"
    (cd "$dist" && sha256sum -- berth* >SHA256SUMS)
    (cd "$dist" && stat -c '  %n  %s bytes' -- *)
}

# nfpm by the hashes of deploy/nfpm/go.sum.
need_nfpm() {
    local wanted
    wanted=$(cat deploy/nfpm/go.mod deploy/nfpm/go.sum | sha256sum | cut -c1-16)
    nfpm=$top/build/tools/nfpm-$wanted
    [ ! -x "$nfpm" ] || return 0
    say "  building nfpm"
    mkdir -p "$top/build/tools"
    if ! (cd deploy/nfpm && GOFLAGS=-mod=readonly GOWORK=off CGO_ENABLED=0 go build -trimpath -buildvcs=false \
        -o "$nfpm.$$" github.com/goreleaser/nfpm/v2/cmd/nfpm) >"$top/build/nfpm.log" 2>&1; then
        tail -n 5 "$top/build/nfpm.log" >&2
        die "cannot build nfpm, which needs $(sed -n 's/^go /Go /p' deploy/nfpm/go.mod) or later (here: $(go version | cut -d' ' -f3)) and the Go module proxy; the whole output is in build/nfpm.log"
    fi
    mv "$nfpm.$$" "$nfpm"
}

# What is the same for both processors: man pages, completions, units, texts.
stage_texts() {
    local root=$1 version=$2 date programs=build/release/bin share=$1/usr/share page
    date=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%d)
    mkdir -p "$share/man/man1" "$share/man/man5" "$share/bash-completion/completions" "$share/zsh/site-functions" \
        "$share/fish/vendor_completions.d" "$share/doc/berth/examples" "$root/usr/lib/systemd/system" "$root/etc/logrotate.d"
    "$python" scripts/man.py "$programs" "$root/man" "$version" "$date"
    for page in "$root"/man/*; do
        gzip -9n <"$page" >"$share/man/man${page##*.}/${page##*/}.gz"
    done
    rm -r "$root/man"
    "$programs/berth-driver" completion bash >"$share/bash-completion/completions/berth-driver"
    "$programs/berth-driver" completion zsh >"$share/zsh/site-functions/_berth-driver"
    "$programs/berth-driver" completion fish >"$share/fish/vendor_completions.d/berth-driver.fish"
    cp deploy/systemd/* "$root/usr/lib/systemd/system/"
    cp deploy/logrotate/berth "$root/etc/logrotate.d/"
    cp deploy/examples/* deploy/cloudformation/* "$share/doc/berth/examples/"
    cp README.md "$share/doc/berth/"
    gzip -9n <CHANGELOG.md >"$share/doc/berth/changelog.gz"
    "$python" scripts/sbom.py copyright "$deps/tarballs" >"$share/doc/berth/copyright"
}

# stage PROCESSOR DIRECTORY: the files of one package in DIRECTORY/PROCESSOR/root.
stage() {
    local processor=$1 root=$2/$1/root other agent
    mkdir -p "$root/usr/bin" "$root/usr/lib/berth" "$2/$1/scripts"
    cp -R "$2/texts/." "$root/"
    cp deploy/scripts/* "$2/$1/scripts/"
    install -m 755 "$(programs_of "$processor")"/berth-{agent,driver} "$root/usr/bin/"
    for other in amd64 arm64; do
        agent=$(programs_of "$other")/berth-agent
        if [ -x "$agent" ]; then install -m 755 "$agent" "$root/usr/lib/berth/berth-agent-$(machine_of "$other")"; fi
    done
    find "$root" -type d -exec chmod 755 {} +
    find "$root" -type f ! -path "$root/usr/bin/*" ! -path "$root/usr/lib/berth/*" -exec chmod 644 {} +
}

# pack PROCESSOR VERSION DIRECTORY DIST
pack() {
    local processor=$1 version=$2 directory=$3 dist=$4 kind name=berth-$2-linux-$1
    say "  packages for $processor"
    for kind in deb rpm; do
        (cd "$directory" && PACKAGE_ARCH=$processor PACKAGE_VERSION=$version \
            "$nfpm" package --config "$top/deploy/nfpm.yaml" --packager "$kind" --target "$dist/") >"$top/build/nfpm.log" 2>&1 || {
            tail -n 5 "$top/build/nfpm.log" >&2
            die "cannot make the $kind for $processor"
        }
    done
    archive "$directory/root" "$name" "$dist/$name.tar.gz" .
    archive "$(programs_of "$processor")" "$name-debug" "$dist/$name-debug.tar.gz" berth-agent.debug berth-driver.debug
}

# archive DIRECTORY PREFIX FILE NAME...: the same bytes from the same files.
archive() {
    tar -C "$1" --sort=name --format=gnu --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        --mode=go-w --transform="s,^\\.\\?/\\?,$2/,;s,/\$,," -cf - "${@:4}" | gzip -9n >"$3"
}
