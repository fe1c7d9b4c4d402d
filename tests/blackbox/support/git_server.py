# SPDX-License-Identifier: MIT
"""A local stand-in for GitLab's HTTP side: repositories to clone, and artifacts.

    with GitServer(directory, "10.1.2.1") as server:
        sha = server.repository("group/project", {"file": "content"})
        server.url("group/project")     of the repository, by 'git http-backend'
        server.large_file(b"...")       its pointer for git-lfs; it can be downloaded
    server.artifacts["4711"]        what a job has uploaded, as bytes
        server.requests                 (method, path) of each request

With certificate=(PEM file, key file) it is HTTPS; private_server() has a CA that is known to no
machine.
"""

import contextlib
import hashlib
import json
import os
import ssl
import subprocess
import threading
from http.server import ThreadingHTTPServer

from support.certificates import certificate_pem, key_pem, make_certificate
from support.http_server import QuietHandler

BACKEND = "/usr/lib/git-core/git-http-backend"


class _Handler(QuietHandler):
    def _body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _reply(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body:
            self.wfile.write(body)

    def do_GET(self):
        server = self.server.owner
        body = self._body()
        server.requests.append((self.command, self.path))
        if self.path.startswith("/artifacts/"):
            job = self.path.rpartition("/")[2]
            if self.command == "POST":
                server.artifacts[job] = body
                self._reply(201, b"")
            else:
                found = server.artifacts.get(job)
                self._reply(404 if found is None else 200, found or b"")
            return
        if self.path.endswith("/info/lfs/objects/batch"):
            kind = "application/vnd.git-lfs+json"
            self._reply(200, server.large_files_answer(body), [("Content-Type", kind)])
            return
        if self.path.startswith("/lfs/"):
            self._reply(200, server.large_files[self.path.rpartition("/")[2]])
            return
        self._git(server, body)

    do_POST = do_GET

    def _git(self, server, body):
        path, _, query = self.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(server.directory),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol") or "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type") or "",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_CONFIG_KEY_1": "uploadpack.allowAnySHA1InWant",
            "GIT_CONFIG_VALUE_1": "true",
        }
        done = subprocess.run(
            [BACKEND], input=body, env=environment, capture_output=True, check=False
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line]
        status = next((int(v.split()[0]) for n, v in headers if n == "Status"), 200)
        self._reply(status, content, [(n, v) for n, v in headers if n != "Status"])


class GitServer:
    def __init__(self, directory, address, certificate=None):
        self.directory = directory
        self.address = address
        self.scheme = "https" if certificate else "http"
        self.artifacts, self.large_files, self.requests = {}, {}, []
        self.server = ThreadingHTTPServer((address, 0), _Handler)
        self.server.daemon_threads = True
        self.server.owner = self
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)

    def large_file(self, content):
        name = hashlib.sha256(content).hexdigest()
        self.large_files[name] = content
        lines = ("version https://git-lfs.github.com/spec/v1", f"oid sha256:{name}")
        return "\n".join((*lines, f"size {len(content)}", ""))

    def large_files_answer(self, request):
        """Of git-lfs's batch API, for downloads by its transfer 'basic'."""
        rows = [
            {**row, "actions": {"download": {"href": f"{self.base}/lfs/{row['oid']}"}}}
            for row in json.loads(request)["objects"]
        ]
        return json.dumps({"transfer": "basic", "objects": rows}).encode()

    @property
    def base(self):
        return f"{self.scheme}://{self.address}:{self.server.server_address[1]}"

    def url(self, name):
        return f"{self.base}/{name}.git"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def repository(self, name, files, submodules=None):
        """A repository with one commit, whose hash is returned. submodules: {path: (relative URL,
        hash)}."""
        path = self.directory / f"{name}.git"
        path.mkdir(parents=True)
        self._git(path, "init", "-q", "-b", "main")
        for file, content in files.items():
            (path / file).parent.mkdir(parents=True, exist_ok=True)
            (path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
        for place, (url, _) in (submodules or {}).items():
            with open(path / ".gitmodules", "a") as modules:
                modules.write(f'[submodule "{place}"]\n\tpath = {place}\n\turl = {url}\n')
        self._git(path, "add", ".")
        for place, (_, sha) in (submodules or {}).items():
            self._git(path, "update-index", "--add", "--cacheinfo", f"160000,{sha},{place}")
        self._git(path, "-c", "user.name=a", "-c", "user.email=a@example", "commit", "-qm", "one")
        return self._git(path, "rev-parse", "HEAD").strip()

    @staticmethod
    def _git(path, *words):
        command = ["git", "-C", path, "-c", "protocol.file.allow=always", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout


@contextlib.contextmanager
def private_server(directory, address):
    """An HTTPS server with the project 'group/project'. Yields the fields of a job that clones it,
    whose file 'file' says "cloned", and the CA as PEM."""
    key, certificate = make_certificate(address, [address])
    pem, private = directory / "ca.pem", directory / "ca.key"
    pem.write_bytes(certificate_pem(certificate))
    private.write_bytes(key_pem(key))
    (directory / "repositories").mkdir()
    with GitServer(directory / "repositories", address, (pem, private)) as server:
        sha = server.repository("group/project", {"file": "cloned\n"})
        yield {"repository_url": server.url("group/project"), "sha": sha}, pem.read_text()
