# SPDX-License-Identifier: MIT
"""Root file systems as tar archives from this machine's own Debian programs.

    HELPER = helper_tar()     git, git-lfs, bash, busybox and a stand-in for gitlab-runner-helper
    tree = Tree(); tree.program("/usr/bin/redis-server"); tree.tar()

A program is packed with the libraries that ldd names. The stand-in does what the custom executor's
scripts ask of gitlab-runner-helper, against a local HTTP server: it is not GitLab's.
"""

import io
import os
import subprocess
import tarfile
from pathlib import Path

GIT_CORE = Path("/usr/lib/git-core")
GIT_PROGRAMS = (
    "git", "git-remote-http", "git-submodule", "git-sh-setup", "git-sh-i18n",
    "git-sh-i18n--envsubst",
)  # fmt: skip
# Artifacts are POSTed as a tar archive and fetched by the other job's id; caches are files, with
# --url also at a presigned URL of S3.
STAND_IN = """\
#!/bin/bash
# A stand-in for gitlab-runner-helper.
set -euo pipefail
verb=${1:-}; shift || true
url='' file='' id='' paths=()
while [ $# -gt 1 ]; do
    case $1 in
    --url) url=$2 ;;
    --file) file=$2 ;;
    --id) id=$2 ;;
    --path) paths+=("$2") ;;
    *) echo "gitlab-runner-helper stand-in: unknown option '$1'" >&2; exit 2 ;;
    esac
    shift 2
done
# send METHOD URL STATUS: the file $packed
send() {
    local rest=${2#http://}
    local address=${rest%%/*} status
    exec 3<>"/dev/tcp/${address%:*}/${address#*:}"
    printf '%s\\r\\n' "$1 /${rest#*/} HTTP/1.1" "Host: $address" "Connection: close" \\
        "Content-Length: $(wc -c <"$packed")" "" >&3
    cat "$packed" >&3
    read -r _ status _ <&3
    [ "$status" = "$3" ] || { echo "ERROR: the server returned $status" >&2; exit 1; }
}
case $verb in
--version) echo "gitlab-runner-helper stand-in" ;;
artifacts-uploader)
    packed=$(mktemp); trap 'rm -f "$packed"' EXIT
    tar -cf "$packed" "${paths[@]}"
    send POST "$url/artifacts/$id" 201
    echo "Uploading artifacts as \\"archive\\" to coordinator... 201 Created  id=$id"
    ;;
artifacts-downloader)
    packed=$(mktemp); trap 'rm -f "$packed"' EXIT
    wget -q -O "$packed" "$url/artifacts/$id"
    tar -xf "$packed"
    echo "Downloading artifacts from coordinator... ok  id=$id"
    ;;
cache-archiver)
    mkdir -p "$(dirname "$file")"
    tar -cf "$file" "${paths[@]}"
    [ -z "$url" ] || { packed=$file; send PUT "$url" 200; echo "Uploaded to ${url%%\\?*}"; }
    echo "Created cache"
    ;;
cache-extractor)
    if [ -n "$url" ]; then
        mkdir -p "$(dirname "$file")"
        wget -q -O "$file" "$url" || rm -f "$file"
    fi
    if [ -f "$file" ]; then tar -xf "$file"; echo "Successfully extracted cache"
    else echo "No cache file found, starting without"; fi
    ;;
*) echo "gitlab-runner-helper stand-in: cannot '$verb'" >&2; exit 2 ;;
esac
"""


def installed(*programs):
    return all(Path(program).exists() for program in programs)


class Tree:
    """Entries of a root file system; the first of a name counts."""

    def __init__(self, directories=("bin", "etc", "tmp", "root")):
        self.names = set()
        self.out = io.BytesIO()
        self.archive = tarfile.open(fileobj=self.out, mode="w")  # noqa: SIM115 closed by tar()
        for name in directories:
            self.directory(name, {"tmp": 0o1777, "root": 0o700}.get(name, 0o755))

    def directory(self, name, mode=0o755, uid=0):
        self._add(name, tarfile.DIRTYPE, mode, uid=uid)

    def link(self, name, target):
        self._add(name, tarfile.SYMTYPE, 0o777, target=target)

    def text(self, name, content, mode=0o644):
        self._add(name, tarfile.REGTYPE, mode, content.encode())

    def file(self, source, name=None):
        """A file of this machine, links resolved."""
        path = Path(source).resolve()
        name = (name or str(source)).lstrip("/")
        self._add(name, tarfile.REGTYPE, path.stat().st_mode & 0o7777, path.read_bytes())

    def program(self, source, name=None):
        self.file(source, name)
        listed = subprocess.run(["ldd", source], capture_output=True, text=True, check=False).stdout
        for word in listed.split():
            if word.startswith("/"):
                self.file(word)

    def busybox(self):
        """With all applets that have no program yet."""
        self.file("/bin/busybox")
        listed = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True)
        for word in listed.stdout.split():
            if f"usr/bin/{word}" not in self.names:
                self.link(f"bin/{word}", "busybox")

    def directory_of(self, source):
        """All files below a directory of this machine, in the same place."""
        for root, _, files in os.walk(source):
            for name in files:
                self.file(f"{root}/{name}")

    def _add(self, name, kind, mode, content=b"", target="", uid=0):
        if name in self.names:
            return
        self.names.add(name)
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(content), target
        entry.uid = entry.gid = uid
        self.archive.addfile(entry, io.BytesIO(content))

    def tar(self):
        self.archive.close()
        return self.out.getvalue()


def helper_tar(git=True, runner=True):
    """Of the helper image; without git or the stand-in for images that lack them."""
    tree = Tree()
    tree.program("/bin/bash")
    tree.link("usr/bin/bash", "/bin/bash")
    if git:
        for name in GIT_PROGRAMS:
            tree.program(str(GIT_CORE / name))
        tree.link("usr/lib/git-core/git-remote-https", "git-remote-http")
        tree.link("usr/bin/git", "/usr/lib/git-core/git")
        if installed("/usr/bin/git-lfs"):
            tree.program("/usr/bin/git-lfs")
    if runner:
        tree.text("usr/bin/gitlab-runner-helper", STAND_IN, 0o755)
    tree.text("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
    tree.busybox()
    return tree.tar()
