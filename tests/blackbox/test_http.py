# SPDX-License-Identifier: MIT
"""driver/base/http.c, through http-probe: requests and responses of libcurl."""

import json
import os
import signal
import socket
import subprocess

import pytest

from support.certificates import Authority
from support.http_server import HttpServer

NOT_SENT, MAYBE_SENT, STOPPED = 1, 2, 3
KIND_USAGE, KIND_LIMIT = 1, 5
PROXY_NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def server():
    with HttpServer() as running:
        yield running


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def environment():
    clean = {name: value for name, value in os.environ.items() if name.lower() not in PROXY_NAMES}
    clean.pop("SSL_CERT_FILE", None)
    return clean


@pytest.fixture
def probe(programs, environment):
    """probe(url, name=value...): the answers of http-probe as dictionaries."""

    def run(url, *words, env=None, **values):
        command = [programs.tool("http-probe"), f"url={url}", *words]
        command += [f"{name}={value}" for name, value in values.items()]
        done = subprocess.run(
            command, env=environment | (env or {}), capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        return answers if len(answers) > 1 else answers[0]

    return run


def echoed(answer):
    assert answer["ok"] and answer["status"] == 200, answer
    return json.loads(answer["body"])


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("body", [None, "", "hello"], ids=["none", "empty", "some"])
def test_methods_and_bodies(probe, server, method, body):
    values = {} if body is None else {"body": body}
    said = echoed(probe(f"{server.url}/echo", method=method, **values))
    assert (said["method"], said["body"]) == (method, body or "")
    expects_length = body is not None or method in ("POST", "PUT")
    assert said["headers"].get("content-length") == (
        str(len(body or "")) if expects_length else None
    )
    assert "content-type" not in said["headers"] and "expect" not in said["headers"]
    assert said["headers"]["user-agent"].startswith("berth-driver/")


def test_head_has_no_body(probe, server):
    answer = probe(f"{server.url}/bytes/10", method="HEAD")
    assert answer["ok"] and answer["status"] == 200 and answer["length"] == 0


def test_own_headers_go_out(probe, server):
    said = echoed(
        probe(f"{server.url}/echo", "header=X-One: 1", "header=Content-Type: a/b", method="POST")
    )
    assert said["headers"]["x-one"] == "1" and said["headers"]["content-type"] == "a/b"


def test_a_big_body_goes_out_whole(probe, server):
    said = echoed(probe(f"{server.url}/echo", method="POST", body_size=3000000))
    assert said["length"] == 3000000


@pytest.mark.parametrize("size", [0, 1, 3000000])
def test_a_body_in_parts(probe, server, size):
    said = echoed(probe(f"{server.url}/echo", method="PUT", body_size=size, parts=1))
    assert said["method"] == "PUT" and said["length"] == size + 6
    assert said["body"] == ("abc" + size * "x" + "xyz")[:200]
    assert said["headers"]["content-length"] == str(size + 6)


def test_a_body_in_parts_after_a_closed_connection(probe, server):
    answers = probe(f"{server.url}/close", method="PUT", body_size=1000, parts=1, repeat=3)
    assert [answer["body"] for answer in answers] == ["last"] * 3


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_any_status_is_an_answer(probe, server, status):
    answer = probe(f"{server.url}/status/{status}")
    assert answer["ok"] and answer["status"] == status and answer["body"] == "no"
    assert answer["retry_after_ms"] == 7000 and answer["date"].endswith("GMT")


def test_redirects_are_answers(probe, server):
    assert probe(f"{server.url}/redirect")["status"] == 302
    assert len(server.requests) == 1


def test_a_connection_is_used_again(probe, server):
    answers = probe(f"{server.url}/echo", repeat=3)
    assert len({echoed(answer)["connection"] for answer in answers}) == 1


def test_a_closed_connection_is_opened_again(probe, server):
    assert [answer["body"] for answer in probe(f"{server.url}/close", repeat=3)] == ["last"] * 3


def test_unix_socket(probe, tmp_path):
    with HttpServer(unix=tmp_path / "s") as server:
        said = echoed(probe("http://docker/v1/echo", socket=tmp_path / "s"))
        assert said["path"] == "/v1/echo" and said["headers"]["host"] == "docker"
        assert server.requests


def test_missing_unix_socket_is_named(probe, tmp_path):
    answer = probe("http://docker/echo", socket=tmp_path / "none")
    assert not answer["ok"] and answer["failure"] == NOT_SENT
    assert str(tmp_path / "none") in answer["message"]


def test_refused_connection_was_not_sent(probe, free_port):
    port = free_port()
    answer = probe(f"http://127.0.0.1:{port}/secret-path?token=x", method="POST", body="b")
    assert not answer["ok"] and answer["failure"] == NOT_SENT
    assert f"http://127.0.0.1:{port}" in answer["message"]
    assert "secret-path" not in answer["message"] and "token" not in answer["message"]


def test_unknown_host_was_not_sent(probe):
    answer = probe("http://no-such-host.invalid/")
    assert not answer["ok"] and answer["failure"] == NOT_SENT
    assert "no-such-host.invalid" in answer["message"]


def test_a_password_in_a_url_is_not_printed(probe, free_port):
    answer = probe(f"http://user:hunter2@127.0.0.1:{free_port()}/")
    assert not answer["ok"] and "hunter2" not in answer["message"]


@pytest.mark.parametrize("path", ["silent", "stall"])
def test_deadline(probe, server, path):
    answer = probe(f"{server.url}/{path}", method="POST", deadline_ms=2000)
    assert not answer["ok"] and answer["failure"] == MAYBE_SENT
    assert 1900 <= answer["took_ms"] < 15_000


def test_deadline_while_connecting_was_not_sent(probe):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = []
        for _ in range(4):  # a full queue leaves further connections unanswered
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        port = full.getsockname()[1]
        by_deadline = probe(f"http://127.0.0.1:{port}/", deadline_ms=300)
        by_connect = probe(f"http://127.0.0.1:{port}/", connect_ms=300)
        for filler in fillers:
            filler.close()
    for answer in (by_deadline, by_connect):
        assert not answer["ok"] and answer["failure"] == NOT_SENT, answer
        assert answer["took_ms"] < 15_000


@pytest.mark.parametrize("path", ["silent", "stall"])
def test_stall(probe, server, path):
    answer = probe(f"{server.url}/{path}", stall_ms=1500)
    assert not answer["ok"] and answer["failure"] == MAYBE_SENT
    assert "sent nothing for 1500 ms" in answer["message"] and answer["took_ms"] < 15_000


def test_a_slow_answer_is_no_stall(probe, server):
    answer = probe(f"{server.url}/drip/80", stall_ms=3000)
    assert answer["ok"] and answer["length"] == 80 and answer["took_ms"] > 3500


@pytest.mark.parametrize("path", ["reset", "cut"])
def test_a_lost_answer_may_have_been_sent(probe, server, path):
    answer = probe(f"{server.url}/{path}", method="POST", body="b")
    assert not answer["ok"] and answer["failure"] == MAYBE_SENT
    assert len(server.requests) == 1


@pytest.mark.parametrize("size,fits", [(1000, True), (1001, False), (5000000, False)])
def test_ceiling_of_the_answer(probe, server, size, fits):
    answer = probe(f"{server.url}/bytes/{size}", ceiling=1000)
    assert answer["ok"] == fits
    if not fits:
        assert answer["failure"] == STOPPED and answer["kind"] == KIND_LIMIT
        assert "longer than 1000 bytes" in answer["message"]


def test_streamed_answer(probe, server):
    answer = probe(f"{server.url}/bytes/5000000", stream=1, ceiling=10)
    assert answer["ok"] and answer["streamed"] == 5000000 and answer["length"] == 0


def test_an_error_is_collected_even_when_streaming(probe, server):
    answer = probe(f"{server.url}/status/404", stream=1)
    assert answer["streamed"] == 0 and answer["body"] == "no"


def test_a_stream_can_be_refused(probe, server):
    answer = probe(f"{server.url}/bytes/5000000", stream=1, refuse_after=100000)
    assert not answer["ok"] and answer["failure"] == STOPPED
    assert answer["streamed"] < 5000000


def test_a_signal_ends_the_call(programs, server, environment, until):
    process = subprocess.Popen(
        [programs.tool("http-probe"), f"url={server.url}/silent", "deadline_ms=20000"],
        env=environment,
        stdout=subprocess.PIPE,
    )
    until(lambda: server.requests, what="the request")
    process.send_signal(signal.SIGTERM)
    answer = json.loads(process.communicate(timeout=60)[0])
    assert not answer["ok"] and answer["failure"] == STOPPED
    assert answer["message"].startswith("stopped by a signal") and answer["took_ms"] < 18_000


def test_tls_with_a_ca(probe, authority):
    with HttpServer(certificate=authority.issue("server")) as server:
        assert echoed(probe(f"{server.url}/echo", ca=authority.ca_file))
        by_environment = {"SSL_CERT_FILE": str(authority.ca_file)}
        assert echoed(probe(f"{server.url}/echo", env=by_environment))
        distrusted = probe(f"{server.url}/echo")
    assert not distrusted["ok"] and distrusted["failure"] == NOT_SENT
    assert "AWS_CA_BUNDLE or SSL_CERT_FILE" in distrusted["message"]


def test_tls_checks_the_name(probe, authority):
    with HttpServer(certificate=authority.issue("server")) as server:
        url = server.url.replace("127.0.0.1", "127.0.0.2")
        answer = probe(f"{url}/echo", ca=authority.ca_file, env={"NO_PROXY": "*"})
    assert not answer["ok"] and answer["failure"] == NOT_SENT


def test_tls_with_a_client_certificate(probe, authority):
    server_file = authority.issue("server")
    client_file = authority.issue("client")
    with HttpServer(certificate=server_file, client_ca=authority.ca_file) as server:
        trust = {"ca": authority.ca_file}
        files = {"certificate": client_file, "key": client_file}
        assert echoed(probe(f"{server.url}/echo", **trust, **files))
        assert not probe(f"{server.url}/echo", **trust)["ok"]


def test_unreadable_ca_file_is_named(probe, tmp_path):
    answer = probe("https://127.0.0.1:1/", ca=tmp_path / "none.pem")
    assert not answer["ok"] and answer["kind"] == KIND_USAGE
    assert str(tmp_path / "none.pem") in answer["message"]


def test_proxy_by_environment(probe, server):
    proxied = {"http_proxy": server.url}
    said = echoed(probe("http://service.example/echo", env=proxied))
    assert said["path"] == "http://service.example/echo"
    direct = probe("http://service.invalid/", env=proxied | {"NO_PROXY": "service.invalid"})
    assert not direct["ok"] and direct["failure"] == NOT_SENT
    assert not probe("http://service.invalid/", env=proxied, no_proxy=1)["ok"]
    assert len(server.requests) == 1


def test_tls_through_a_proxy_is_tunnelled(probe, server):
    answer = probe("https://service.example/echo", env={"HTTPS_PROXY": server.url})
    assert not answer["ok"] and answer["failure"] == NOT_SENT
