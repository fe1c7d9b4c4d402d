# SPDX-License-Identifier: MIT
"""The runner image trusts a private CA: given when it is built, or mounted when it starts.

The build trusts it too: its downloads come from a mirror whose certificate that CA signed, as they
do behind a proxy that opens TLS.
"""

import http.server
import shutil
import ssl
import threading

import pytest

import standins
from support.docker_engine import write_certificate

CLIENTS = {
    "curl": "curl -fsS {url}/",
    "git": "git ls-remote {url}/repository",
    "ruby": "ruby -rnet/http -ruri -e 'puts Net::HTTP.get(URI(\"{url}/\"))'",
    "node": 'node -e \'require("https").get("{url}/", r => r.pipe(process.stdout))'
    '.on("error", e => {{ console.error(e.code); process.exit(1) }})\'',
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """(directory with ca.pem, server-cert.pem and its key)."""
    directory = tmp_path_factory.mktemp("ca")
    pair = write_certificate(directory / "ca", "berth private ca")
    write_certificate(directory / "server", "server", pair)
    return directory


@pytest.fixture(scope="module")
def server(authority):
    """An HTTPS server on loopback whose certificate that CA signed; its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            # What git asks of a repository without references.
            text = b"" if "/info/refs" in self.path else b"reached\n"
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server-key.pem")
    listener.socket = context.wrap_socket(listener.socket, server_side=True)
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    yield listener.server_address[1]
    listener.shutdown()
    listener.server_close()
    thread.join()


@pytest.fixture(scope="module")
def with_ca(images, runner, authority, tmp_path_factory):
    """The runner image, built from a tree with the CA's certificate in dockerfiles/ca."""
    top = tmp_path_factory.mktemp("tree")
    shutil.copytree(standins.TOP / "dockerfiles", top / "dockerfiles")
    for name in ("CMakeLists.txt", "CMakePresets.json", "agent", "common", "cmake"):
        source = standins.TOP / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, top / name)
    shutil.copy(authority / "ca.pem", top / "dockerfiles/ca/private.crt")
    certificate = (authority / "server.pem", authority / "server-key.pem")
    images.runner(tag="with-ca", top=top, certificate=certificate, AGENT_IMAGE="berth-agent")
    yield "with-ca"
    images.engine.docker("rmi", "-f", "with-ca")


def ask(engine, image, port, client, words=()):
    command = CLIENTS[client].format(url=f"https://127.0.0.1:{port}")
    words = ["--network=host", "--entrypoint", "/bin/bash", *words]
    return engine.docker("run", "--rm", *words, image, "-c", command, check=False)


@pytest.mark.parametrize("client", CLIENTS)
def test_without_the_certificate_nothing_is_trusted(engine, runner, server, client):
    done = ask(engine, runner, server, client)
    assert done.returncode != 0
    assert "reached" not in done.stdout


@pytest.mark.parametrize("client", CLIENTS)
def test_certificate_given_when_built(engine, with_ca, server, client):
    done = ask(engine, with_ca, server, client)
    assert done.returncode == 0, done.stderr
    assert client == "git" or "reached" in done.stdout


@pytest.mark.parametrize("client", CLIENTS)
def test_certificate_mounted(engine, runner, server, authority, client):
    words = ["-v", f"{authority / 'ca.pem'}:/etc/ssl/certs/ca-certificates.crt:ro"]
    done = ask(engine, runner, server, client, words)
    assert done.returncode == 0, done.stderr
    assert client == "git" or "reached" in done.stdout
