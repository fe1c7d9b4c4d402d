# SPDX-License-Identifier: MIT
"""A Docker Engine for the tests: started by the first that needs it, stopped after the last.

It has its own socket, data, bridge and process-id namespace, so that neither an engine that runs
already nor another tree's tests meet it, and nothing of it outlives it. Test processes that run
side by side share one: each holds a shared lock on 'users' as long as it needs the engine, and
the one that can make that lock exclusive at the end was the last.

    engine = Engine(directory)       # directory: where data may go, e.g. build/engine
    engine.acquire() ... engine.release()
    engine.call("GET", "/containers/json")   -> (status, parsed JSON or bytes)
    engine.import_image("berth-test/busybox:1", tarfile bytes, ["ENV A=1"])
    engine.docker("build", ...)              the command line client on this engine
"""

import contextlib
import fcntl
import hashlib
import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import urllib.parse
from pathlib import Path

import pytest

from support import processes
from support.certificates import certificate_pem, key_pem, make_certificate
from support.ports import free_port
from support.waiting import until

TOP = Path(__file__).resolve().parents[3]
API = "/v1.41"
START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 60.0
REGISTRY_DEADLINE_S = 60.0
PROGRAMS = ("dockerd", "docker", "containerd", "runc", "iptables", "ip", "unshare")
BUSYBOX = "berth-test/busybox:1"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("docker", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def missing():
    """Why no engine can be started here, or an empty text."""
    if os.geteuid() != 0:
        return "needs root: the tests start a Docker Engine of their own"
    absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    return f"not installed: {', '.join(absent)} (apt: docker.io iproute2)" if absent else ""


def _path():
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class Engine:
    def __init__(self, directory, keep_data=False, options=()):
        """keep_data: images and layers stay for the next start from that directory. options: more
        of dockerd's."""
        self.options = list(options)
        self.directory = Path(directory)
        self.keep_data = keep_data or os.environ.get("BERTH_KEEP_ENGINE_DATA", "") != ""
        mark = hashlib.sha256(str(self.directory).encode()).hexdigest()
        # A socket's path has at most 107 bytes, whatever the tree's own path is.
        self.runtime = Path(f"/run/berth-tests-{mark[:10]}")
        self.bridge = f"bt{mark[:10]}"
        self.address = f"10.{200 + int(mark[:2], 16) % 50}.{int(mark[2:4], 16)}.1/24"
        self.socket = str(self.runtime / "docker.sock")
        self.url = f"unix://{self.socket}"
        self.certificates = self.runtime / "certificates"
        self._users = None

    # ---- life

    def acquire(self):
        self.runtime.mkdir(mode=0o700, exist_ok=True)
        with self._starting():
            self._users = open(self.runtime.with_suffix(".users"), "w")  # noqa: SIM115 held until release()
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._start()  # an engine without a user is what a killed run left
                fcntl.flock(self._users, fcntl.LOCK_SH)
            except BlockingIOError:
                fcntl.flock(self._users, fcntl.LOCK_SH)
                until(self.answers, START_DEADLINE_S, "the engine of the tests side by side")
        processes.ignored_roots.add(self._pid)

    def release(self):
        with self._starting():
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            finally:
                self._users.close()
            self._stop()

    @contextlib.contextmanager
    def _starting(self):
        with open(self.runtime.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def answers(self):
        try:
            return self.call("GET", "/_ping", timeout=10)[0] == 200
        except OSError:
            return False

    def log(self):
        path = self.runtime / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _pid(self):
        """Of the process whose death is the engine's, 0: none."""
        try:
            return int((self.runtime / "outer-pid").read_text())
        except (OSError, ValueError):
            return 0

    def _is_ours(self, command_line):
        """Not another process with a number from before a restart of the machine."""
        return command_line.startswith("unshare ") and str(self.runtime / "exec") in command_line

    def _start(self):
        self._stop()  # what a killed run left
        self.runtime.mkdir(mode=0o700, exist_ok=True)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._make_bridge()
        port = free_port()
        self._make_certificates()
        (self.runtime / "tls-port").write_text(str(port))
        command = ["unshare", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", "dockerd"]
        command += ["--data-root", self.directory / "data", "--exec-root", self.runtime / "exec"]
        command += ["--pidfile", self.runtime / "pid", "--bridge", self.bridge, "-H", self.url]
        command += ["-H", f"tcp://127.0.0.1:{port}", "--tlsverify"]
        for name in ("cacert=ca", "cert=server-cert", "key=server-key"):
            option, file = name.split("=")
            command.append(f"--tls{option}={self.certificates / file}.pem")
        command += self.options
        with open(self.runtime / "log", "wb") as log:
            outer = subprocess.Popen(
                command, env={**os.environ, "PATH": _path()}, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        (self.runtime / "outer-pid").write_text(str(outer.pid))
        until(lambda: self.answers() or outer.poll() is not None, START_DEADLINE_S, "dockerd")
        if outer.poll() is not None:
            pytest.fail(f"dockerd ended with {outer.returncode}:\n{self.log()[-4000:]}", False)

    def _stop(self):
        outer = self._pid()
        if outer and processes.alive(outer) and self._is_ours(processes.command_line(outer)):
            inner = [p for p in processes.descendants(outer) if _parent(p) == outer]
            for pid in inner:
                os.kill(pid, signal.SIGTERM)
            try:
                until(lambda: not processes.alive(outer), STOP_DEADLINE_S)
            except AssertionError:
                os.kill(outer, signal.SIGKILL)
                until(lambda: not processes.alive(outer), 60)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(outer, os.WNOHANG)
        subprocess.run(["ip", "link", "del", self.bridge], capture_output=True, check=False)
        shutil.rmtree(self.runtime, ignore_errors=True)
        if not self.keep_data:
            shutil.rmtree(self.directory / "data", ignore_errors=True)

    def _make_bridge(self):
        for words in (
            ["link", "add", self.bridge, "type", "bridge"],
            ["address", "add", self.address, "dev", self.bridge],
            ["link", "set", self.bridge, "up"],
        ):
            subprocess.run(["ip", *words], check=True, capture_output=True)

    def _make_certificates(self):
        """A private CA, the engine's certificate, and a client's as DOCKER_CERT_PATH has them."""
        self.certificates.mkdir(mode=0o700)
        authority = write_certificate(self.certificates / "ca", "berth tests")
        for file in ("server-cert", "cert"):
            name = "127.0.0.1" if file == "server-cert" else "client"
            write_certificate(self.certificates / file, name, authority)
        for old, new in (("server-cert-key", "server-key"), ("cert-key", "key")):
            (self.certificates / f"{old}.pem").rename(self.certificates / f"{new}.pem")

    @property
    def tls_url(self):
        return f"tcp://127.0.0.1:{(self.runtime / 'tls-port').read_text()}"

    # ---- use

    def call(self, method, path, body=None, timeout=60, headers=None):
        """(status, answer); the answer is parsed when it is JSON, else bytes."""
        link = _UnixConnection(self.socket, timeout)
        try:
            headers = dict(headers or {})
            if isinstance(body, (dict, list)):
                body = json.dumps(body)
                headers["Content-Type"] = "application/json"
            # A request that is refused early is not read to its end.
            with contextlib.suppress(BrokenPipeError):
                link.request(method, path if path == "/_ping" else API + path, body, headers)
            answer = link.getresponse()
            text = answer.read()
        finally:
            link.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def good(self, method, path, body=None, **how):
        status, answer = self.call(method, path, body, **how)
        assert status < 400, f"{method} {path}: {status} {answer}"
        return answer

    def docker(self, *words, check=True, buildkit=False, **how):
        """The command line client; returns CompletedProcess with text."""
        how.setdefault("timeout", 600)
        kit = "1" if buildkit else "0"
        environment = {**os.environ, "DOCKER_HOST": self.url, "DOCKER_BUILDKIT": kit}
        done = subprocess.run(
            [_client(), *map(str, words)],
            env=environment, capture_output=True, text=True, check=False, **how,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"docker {words}:\n{done.stdout}{done.stderr}"
        return done

    def import_image(self, name, tar, changes=()):
        """An image of one layer from a tar archive (bytes or a readable file)."""
        where = {"fromSrc": "-", "repo": name}
        query = urllib.parse.urlencode([*where.items(), *[("changes", c) for c in changes]])
        status, answer = self.call("POST", f"/images/create?{query}", tar, timeout=300)
        assert status == 200, f"import of {name}: {answer}"
        # One JSON object a line, the last of which is the image or the error.
        shown = answer if isinstance(answer, dict) else json.loads(answer.strip().split(b"\n")[-1])
        assert "error" not in shown, f"import of {name}: {answer}"

    def load_image(self, name, tar, architecture):
        """An image for that processor, whatever the programs in it are for."""
        layer = hashlib.sha256(tar).hexdigest()
        config = {
            "os": "linux",
            "architecture": architecture,
            "config": {"Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
        }
        manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            _add(archive, "manifest.json", 0o644, json.dumps(manifest).encode())
            _add(archive, "config.json", 0o644, json.dumps(config).encode())
            _add(archive, "layer.tar", 0o644, tar)
        self.good(
            "POST", "/images/load", out.getvalue(), headers={"Content-Type": "application/x-tar"}
        )
        assert self.good("GET", f"/images/{name}/json")["Architecture"] == architecture

    def has_image(self, name):
        return self.call("GET", f"/images/{name}/json")[0] == 200

    def remove_image(self, name):
        return self.call("DELETE", f"/images/{name}?force=true")[0]

    def labelled(self, label):
        """What there is with the label 'NAME=VALUE': containers, networks, volumes."""
        query = "filters=" + urllib.parse.quote(json.dumps({"label": [label]}))
        return {
            "containers": [c["Names"] for c in self.good("GET", f"/containers/json?all=1&{query}")],
            "networks": [n["Name"] for n in self.good("GET", f"/networks?{query}")],
            "volumes": [v["Name"] for v in self.good("GET", f"/volumes?{query}")["Volumes"] or []],
        }


class Registry:
    """Debian's docker-registry on loopback, over HTTP as engines allow there; a login is optional.

    'login' is (user, password hash as htpasswd -B writes it).
    """

    def __init__(self, directory, login=None):
        self.directory = Path(directory)
        self.login = login
        self.port = free_port()
        self.name = f"127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        auth = ""
        if self.login:
            passwords = self.directory / "htpasswd"
            passwords.write_text(":".join(self.login) + "\n")
            auth = f"auth: {{htpasswd: {{realm: test, path: {passwords}}}}}\n"
        config = self.directory / "config.yml"
        config.write_text(
            "version: 0.1\nlog: {level: warn}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.directory}/data}}}}\n"
            f"http: {{addr: '{self.name}', secret: test}}\n{auth}"
        )
        with open(self.directory / "log", "wb") as log:
            self.process = subprocess.Popen(
                ["docker-registry", "serve", config], stdout=log, stderr=log
            )
        until(self._listens, REGISTRY_DEADLINE_S, "docker-registry")
        return self

    def _listens(self):
        assert self.process.poll() is None, (self.directory / "log").read_text()
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=1),
        ):
            return True
        return False

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


def busybox_tar(passwd=True, programs=None, extra=(), place="bin/busybox"):
    """A root file system with nothing but busybox: as bytes. 'extra': (name, mode, bytes)."""
    words = programs
    if words is None:
        listed = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True)
        words = listed.stdout.split()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("root", 0o700)):
            _add(tar, name, mode, None)
        _add(tar, place, 0o755, Path(shutil.which("busybox")).read_bytes())
        for word in words:
            if word != "busybox":
                link = tarfile.TarInfo(f"bin/{word}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        if passwd:
            _add(tar, "etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n")
        for name, mode, content in extra:
            _add(tar, name, mode, content)
    return out.getvalue()


def _add(tar, name, mode, content):
    entry = tarfile.TarInfo(name)
    entry.mode = mode
    if content is None:
        entry.type = tarfile.DIRTYPE
        tar.addfile(entry)
    else:
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))


def _client():
    """Debian's client speaks the engine's own version of the interface; another may not."""
    return "/usr/bin/docker" if os.access("/usr/bin/docker", os.X_OK) else "docker"


def _parent(pid):
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return 0
    return int(text[text.rindex(")") + 2 :].split()[1])


def write_certificate(path, name, issuer=None):
    """Writes PATH.pem and PATH-key.pem: an authority, or a certificate for this machine that
    'issuer' signs. Returns what make_certificate() does."""
    key, certificate = make_certificate(name, () if issuer is None else ["127.0.0.1"], issuer)
    Path(f"{path}.pem").write_bytes(certificate_pem(certificate))
    Path(f"{path}-key.pem").write_bytes(key_pem(key))
    return key, certificate
