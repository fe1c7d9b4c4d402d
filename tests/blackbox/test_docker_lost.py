# SPDX-License-Identifier: MIT
"""The backend 'docker' after a lost connection: which answers of an engine are the task's end. The
task is a process of the backend 'local', and the engine a stand-in."""

import json

import pytest

from support.driver import BUILD_FAILURE, SYSTEM_FAILURE
from support.http_server import Handler, HttpServer
from support.proxy import Proxy


class Engine(Handler):
    """'inspect' of the server is (status, answer) for the container."""

    def do_GET(self):
        if self.path.endswith("/version"):
            self.reply(json.dumps({"Version": "26.1.5", "ApiVersion": "1.45"}).encode())
        elif self.path.endswith("/json"):
            self.server.asked += 1
            status, answer = self.server.inspect
            self.reply(json.dumps(answer).encode(), status)
        else:  # the container's log
            self.reply(b"")


RUNS = 200, {"State": {"Running": True}}
EXITED = 200, {"State": {"Running": False, "ExitCode": 3}}
REMOVED = 404, {"message": "No such container: abc"}


@pytest.fixture
def docker_job(job):
    """(job, engine, proxy) of a prepared job whose metadata names a container."""
    job.driver.settings["SSH"] = {"ReattachTimeout": "20s"}
    with HttpServer(handler=Engine) as engine:
        engine.asked, engine.inspect = 0, RUNS
        job.driver.settings["Docker"] = {"Host": engine.url.replace("http:", "tcp:")}
        job.prepare()
        (path,) = job.driver.metadata.glob("*.json")
        whole = path.read_text()
        values = json.loads(whole)
        with Proxy(values["port"]) as proxy:
            state = {**values["state"], "container": "berth-x", "id": "abc"}
            values |= {"backend": "docker", "port": proxy.port, "state": state}
            path.write_text(json.dumps(values))
            yield job, engine, proxy
        path.write_text(whole)  # for the job's own cleanup


def start(job):
    process = job.start("echo up; until test -e ~/go; do sleep 0.05; done; exit 7\n")
    assert process.stdout.readline() == b"up\n"
    return process


@pytest.mark.parametrize("kind", ["runs", "error", "no JSON", "no state", "no engine"])
def test_an_engine_that_does_not_know_is_not_the_tasks_end(docker_job, until, kind):
    job, engine, proxy = docker_job
    home = job.home()
    process = start(job)
    engine.inspect = {
        "error": (503, {"message": "the engine is shutting down"}),
        "no JSON": (200, None),
        "no state": (200, {"Id": "abc"}),
    }.get(kind, RUNS)
    if kind == "no engine":
        engine.shutdown()
        engine.socket.close()
    proxy.refusing = True
    proxy.cut()
    if kind != "no engine":
        until(lambda: engine.asked > 1, what="the driver's question")
    else:
        assert b"reconnecting" in process.stderr.readline()
    proxy.refusing = False
    (home / "go").touch()
    assert process.wait(60) == BUILD_FAILURE, process.stderr.read()
    assert job.exit_code() == "7\n"


@pytest.mark.parametrize(
    "inspect, message", [(EXITED, "exited with code 3"), (REMOVED, "container was removed")]
)
def test_the_end_of_a_container_is_the_tasks_end(docker_job, inspect, message):
    job, engine, proxy = docker_job
    process = start(job)
    engine.inspect = inspect
    proxy.refusing = True
    proxy.cut()
    assert process.wait(60) == SYSTEM_FAILURE
    assert message in process.stderr.read().decode()
