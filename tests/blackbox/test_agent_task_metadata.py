# SPDX-License-Identifier: MIT
"""'berth-agent task-metadata', against an endpoint that answers, misbehaves, or is not there."""

import json
import os
import shutil
import socket
import struct
import subprocess
import threading

import pytest

from support.http_server import Handler, HttpServer

DOCUMENT = {"PullStartedAt": "2026-09-21T14:13:26.1Z", "Containers": [{"Name": "ci-coordinator"}]}


class Endpoint(Handler):
    """Paths as in Handler: '/NAME/ARGUMENT/task'."""

    def on_document(self, _):
        self.reply(json.dumps(DOCUMENT).encode())

    def on_drip(self, _):
        super().on_drip("1000")

    def on_flood(self, _):
        self.send_response(200)
        self.end_headers()
        for _ in range(64):
            self.wfile.write(b"x" * 65536)


@pytest.fixture
def endpoint():
    with HttpServer(handler=Endpoint) as server:
        yield server


def ask(programs, base, *more, before=()):
    env = {**os.environ}
    env.pop("ECS_CONTAINER_METADATA_URI_V4", None)
    if base is not None:
        env["ECS_CONTAINER_METADATA_URI_V4"] = base
    return subprocess.run(
        [*before, programs.agent, "task-metadata", *more],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_prints_the_document(programs, endpoint):
    done = ask(programs, f"{endpoint.url}/document/v4")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == DOCUMENT
    assert endpoint.requests[0][:2] == ("GET", "/document/v4/task")


@pytest.mark.parametrize("path", ["status/500", "silent", "drip", "reset", "flood", "redirect"])
def test_a_rude_endpoint_is_one_error_in_time(programs, endpoint, path):
    done = ask(programs, f"{endpoint.url}/{path}", "--timeout", "1s")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "task metadata endpoint" in done.stderr


def test_an_endpoint_that_hangs_up_before_the_request(programs, tmp_path, until):
    """FIN, then RST: to send gives EPIPE, and SIGPIPE without MSG_NOSIGNAL."""
    if shutil.which("strace") is None or programs.sanitized:
        pytest.skip("needs strace, and the leak checker must trace its own process")
    trace = tmp_path / "trace"
    late = ["strace", "-o", trace, "-e", "inject=write,sendto:delay_enter=1000000:when=1"]

    def hang_up():
        connection, _ = listener.accept()
        until(lambda: "getsockopt" in trace.read_text(), what="it sees the connection")
        connection.shutdown(socket.SHUT_WR)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=hang_up, daemon=True)
        server.start()
        base = f"http://127.0.0.1:{listener.getsockname()[1]}/v4"
        done = ask(programs, base, before=late)
        server.join(100)
    assert done.returncode == 1, done.stderr
    assert "task metadata endpoint: Broken pipe" in done.stderr


@pytest.mark.parametrize(
    "base",
    [
        "https://127.0.0.1/v4",
        "http://localhost/v4",
        "http://127.0.0.1:99999/v4",
        "ftp://x",
        "127.0.0.1",
    ],
)
def test_other_addresses_are_refused(programs, base):
    done = ask(programs, base)
    assert done.returncode == 2 and "http://ADDRESS/PATH" in done.stderr


@pytest.mark.parametrize("base", [None, ""])
def test_outside_ecs(programs, base):
    done = ask(programs, base)
    assert done.returncode == 1 and "does not run on ECS" in done.stderr


def test_a_closed_port(programs, free_port):
    done = ask(programs, f"http://127.0.0.1:{free_port()}/v4")
    assert done.returncode == 1 and "Connection refused" in done.stderr
