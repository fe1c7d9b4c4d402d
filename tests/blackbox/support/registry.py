# SPDX-License-Identifier: MIT
"""Container registries: Debian's docker-registry with its logins, and a rude one for the rest.

Registry(directory, auth): the real program on a free port of 127.0.0.1. auth: None, "basic"
(htpasswd) or a TokenServer, whose tokens it verifies. push() puts images into its storage through a
second process without authentication. RudeRegistry answers what a test lays down for each path.
"""

import base64
import contextlib
import hashlib
import json
import secrets
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import ThreadingHTTPServer
from types import SimpleNamespace

import bcrypt
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from support.certificates import certificate_pem, key_pem, make_certificate
from support.http_server import QuietHandler
from support.ports import free_port
from support.waiting import until

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
USER, PASSWORD = "ci-user", "word-of-ci-user"
SERVICE = "test-registry"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def dump(value):
    return json.dumps(value).encode()


class Image:
    """The blobs of one image for one platform: config, layers, manifest."""

    def __init__(
        self,
        architecture="amd64",
        layers=(b"layer",),
        kind=OCI_MANIFEST,
        variant=None,
        os="linux",
        annotations=None,
        **config,
    ):
        self.layers = list(layers)
        self.platform = {"os": os, "architecture": architecture}
        if variant:
            self.platform["variant"] = variant
        self.config = dump({**self.platform, "config": config, "rootfs": {"type": "layers"}})
        self.kind = kind
        self.manifest = dump(
            {
                "schemaVersion": 2,
                "mediaType": kind,
                "config": self._descriptor(OCI_CONFIG, self.config),
                "layers": [self._descriptor(OCI_LAYER, layer) for layer in self.layers],
                **({"annotations": annotations} if annotations else {}),
            }
        )

    @staticmethod
    def _descriptor(kind, data):
        return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}

    @property
    def digest(self):
        return digest_of(self.manifest)

    def entry(self):
        return {**self._descriptor(self.kind, self.manifest), "platform": self.platform}


def index_of(images, kind=OCI_INDEX, more=()):
    entries = [image.entry() for image in images] + list(more)
    return dump({"schemaVersion": 2, "mediaType": kind, "manifests": entries})


class Registry:
    """A running docker-registry; .host is "127.0.0.1:PORT", requests() its lines of access."""

    def __init__(self, directory, auth=None):
        if shutil.which("docker-registry") is None:
            pytest.skip("docker-registry is not installed")
        self.directory, self.auth = directory, auth
        (directory / "storage").mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.open_port = self.port if auth is None else free_port()
        self.processes = []

    def __enter__(self):
        self._start(self.port, self.auth, "registry")
        if self.auth is not None:
            self._start(self.open_port, None, "open")
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.terminate()
            process.wait(60)

    def _auth(self, auth):
        if auth == "basic":
            line = USER + ":" + bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
            (self.directory / "htpasswd").write_text(line + "\n")
            return {"htpasswd": {"realm": "test", "path": str(self.directory / "htpasswd")}}
        return {
            "token": {
                "realm": auth.url + "/token",
                "service": SERVICE,
                "issuer": "test-issuer",
                "rootcertbundle": str(auth.certificate_file),
            }
        }

    def _start(self, port, auth, name):
        settings = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": False}},
            "storage": {"filesystem": {"rootdirectory": str(self.directory / "storage")}},
            "http": {"addr": f"127.0.0.1:{port}", "secret": "x" * 16},
        }
        if auth is not None:
            settings["auth"] = self._auth(auth)
        path = self.directory / f"{name}.yml"
        path.write_text(json.dumps(settings))  # JSON is YAML
        with (self.directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                ["docker-registry", "serve", str(path)], stdout=log, stderr=log
            )
        self.processes.append(process)
        until(lambda: self._answers(port), 60, "docker-registry")

    @staticmethod
    def _answers(port):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    def requests(self, count=None):
        """'GET /v2/...' of each request of the driver so far; waits until there are 'count'."""

        def read():
            lines = (self.directory / "registry.log").read_text().splitlines()
            ours = [line for line in lines if '"berth-driver/' in line]
            return [line.split('"')[1].rsplit(" ", 1)[0] for line in ours]

        if count is not None:
            until(lambda: len(read()) >= count, 60, f"{count} lines in the registry's log")
        return read()

    def _call(self, method, path, data=None, **headers):
        address = path if path.startswith("http") else f"http://127.0.0.1:{self.open_port}{path}"
        headers.setdefault("Content-Type", "application/octet-stream")
        request = urllib.request.Request(address, data, headers, method=method)
        return urllib.request.urlopen(request, timeout=60)

    def put_blob(self, repository, data):
        with self._call("POST", f"/v2/{repository}/blobs/uploads/", b"") as answer:
            place = answer.headers["Location"]
        separator = "&" if "?" in place else "?"
        self._call("PUT", f"{place}{separator}digest={digest_of(data)}", data).close()

    def put_manifest(self, repository, reference, data, kind):
        path = f"/v2/{repository}/manifests/{reference}"
        self._call("PUT", path, data, **{"Content-Type": kind}).close()

    def push(self, repository, tag, *images, kind=None):
        """One image as a manifest, several as an index. Returns the digest behind the tag."""
        for image in images:
            for blob in [image.config, *image.layers]:
                self.put_blob(repository, blob)
            reference = image.digest if kind or len(images) > 1 else tag
            self.put_manifest(repository, reference, image.manifest, image.kind)
        if not kind and len(images) == 1:
            return images[0].digest
        data = index_of(images, kind or OCI_INDEX)
        self.put_manifest(repository, tag, data, kind or OCI_INDEX)
        return digest_of(data)


def _segment(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class _Silent(QuietHandler):
    def reply(self, status, data=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


class _Server:
    """A thread with an HTTP server on 127.0.0.1."""

    handler = None

    def __init__(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler)
        self.server.daemon_threads = True
        self.server.owner = self
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.host}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(60)


class _TokenHandler(_Silent):
    def do_GET(self):
        owner = self.server.owner
        query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
        owner.requests.append((self.path, self.headers.get("Authorization")))
        self._answer(owner.user_of(self.headers.get("Authorization")), query)

    def do_POST(self):
        owner = self.server.owner
        form = urllib.parse.parse_qs(
            self.rfile.read(int(self.headers["Content-Length"])).decode(), strict_parsing=True
        )
        owner.requests.append((self.path, form))
        known = form.get("refresh_token") == [owner.identity]
        self._answer(USER if known else None, form)

    def _answer(self, user, query):
        owner = self.server.owner
        if user is None:
            self.reply(401, dump({"errors": [{"code": "UNAUTHORIZED"}]}))
            return
        scope = query.get("scope", [""])[0]
        _, repository, actions = scope.split(":")
        allowed = owner.may_read(user, repository)
        token = owner.token(user, query["service"][0], repository, actions, allowed)
        self.reply(200, dump({"access_token" if self.command == "POST" else "token": token}))


class TokenServer(_Server):
    """Issues tokens as Docker's specification has it. 'public': repositories that all may read;
    'readers': {user: [repository]}."""

    handler = _TokenHandler

    def __init__(self, directory, public=(), readers=None):
        super().__init__()
        self.public, self.readers = set(public), readers or {}
        self.requests = []
        self.identity = "identity-" + secrets.token_hex(8)
        self.key, self.certificate = make_certificate("tokens")
        self.certificate_file = directory / "tokens.pem"
        self.certificate_file.write_bytes(certificate_pem(self.certificate))

    def user_of(self, header):
        """ "": anonymous; None: a wrong login."""
        if header is None:
            return ""
        user, _, password = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
        return user if password == f"word-of-{user}" else None

    def may_read(self, user, repository):
        return repository in self.public or repository in self.readers.get(user, [])

    def token(self, user, service, repository, actions, allowed):
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        access = [{"type": "repository", "name": repository, "actions": actions.split(",")}]
        now = int(time.time())
        claims = {
            "iss": "test-issuer", "sub": user, "aud": service, "exp": now + 300, "nbf": now - 10,
            "iat": now, "jti": secrets.token_hex(8), "access": access if allowed else [],
        }  # fmt: skip
        signed = _segment(dump(header)) + b"." + _segment(dump(claims))
        r, s = utils.decode_dss_signature(self.key.sign(signed, ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return (signed + b"." + _segment(signature)).decode()


class _RudeHandler(_Silent):
    def handle_any(self):
        owner = self.server.owner
        path = self.path.partition("?")[0]
        owner.requests.append((self.command, self.path, dict(self.headers.items())))
        answer = owner.answers.get((self.command, path), owner.answers.get(path))
        if callable(answer):
            with contextlib.suppress(OSError):
                answer(self)
            self.close_connection = True
        elif answer is None:
            self.reply(404, dump({"errors": [{"code": "MANIFEST_UNKNOWN"}]}))
        else:
            status, data, headers = answer
            self.reply(status, data, **headers)

    do_GET = do_HEAD = do_POST = do_PUT = handle_any


class RudeRegistry(_Server):
    """answers: {path or (method, path): (status, data, headers) or function(handler)}."""

    handler = _RudeHandler

    def __init__(self):
        super().__init__()
        self.answers, self.requests = {}, []

    def paths(self):
        return [f"{method} {path}" for method, path, _ in self.requests]

    def put(self, path, data, kind="application/octet-stream", status=200, digest=None, **headers):
        self.answers[path] = (
            status,
            data,
            {"Content_Type": kind, "Docker_Content_Digest": digest or digest_of(data), **headers},
        )

    def put_image(self, repository, tag, image):
        for reference in (tag, image.digest):
            self.put(f"/v2/{repository}/manifests/{reference}", image.manifest, image.kind)
        for blob in [image.config, *image.layers]:
            self.put(f"/v2/{repository}/blobs/{digest_of(blob)}", blob)

    def put_index(self, repository, tag, images, kind=OCI_INDEX, more=()):
        data = index_of(images, kind, more)
        for image in images:
            self.put_image(repository, image.digest, image)
        for reference in (tag, digest_of(data)):
            self.put(f"/v2/{repository}/manifests/{reference}", data, kind)
        return digest_of(data)


class _ConnectHandler(_RudeHandler):
    """A proxy's CONNECT, and behind it the host by TLS."""

    def do_CONNECT(self):
        owner = self.server.owner
        owner.connects.append(self.path)
        host = self.path.partition(":")[0]
        if host not in owner.hosts:
            self.reply(502)
            return
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with contextlib.suppress(OSError):
            tunnel = owner.context.wrap_socket(self.connection, server_side=True)
            behind = SimpleNamespace(owner=owner.hosts[host])
            _RudeHandler(tunnel, self.client_address, behind)
        self.close_connection = True


class Internet(_Server):
    """Hosts by name: a proxy on loopback that speaks TLS for each of them. 'hosts': a RudeRegistry,
    which need not run, for each name. .env is for the program under test."""

    handler = _ConnectHandler

    def __init__(self, directory, *names):
        super().__init__()
        self.hosts = {name: RudeRegistry() for name in names}
        self.connects = []
        key, certificate = make_certificate("hosts", names)
        self.ca_file = directory / "internet.pem"
        self.ca_file.write_bytes(certificate_pem(certificate) + key_pem(key))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.ca_file)
        self.env = {"https_proxy": self.url, "SSL_CERT_FILE": str(self.ca_file)}

    def __exit__(self, *words):
        super().__exit__(*words)
        for host in self.hosts.values():
            host.server.server_close()
