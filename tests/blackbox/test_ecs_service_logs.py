# SPDX-License-Identifier: MIT
"""The logs of services on ECS, from CloudWatch Logs: while a stage runs, and of one that is not
ready. Containers of the play send nothing to moto's CloudWatch Logs: the tests do."""

import contextlib
import json
import secrets
import time

import pytest

from support.http_server import Handler, HttpServer

DB = "nowhere.invalid/group/db:1"
NAME = "[service:db-nowhere.invalid__group__db-nowhere.invalid-group-db]"
WORDS = ["/bin/sh", "-c", "exec nc -ll -p 5432 -e cat"]
CEILING = 4 << 20


class CloudWatch:
    """A log group of moto with the stream of the first service."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.client = cloud.moto.client("logs")
        self.group = f"/ci/{secrets.token_hex(4)}"
        self.client.create_log_group(logGroupName=self.group)

    def open(self):
        self.stream = f"berth/berth-svc-1/{self.cloud.task().id}"
        self.client.create_log_stream(logGroupName=self.group, logStreamName=self.stream)

    def put(self, *lines):
        now_ms = int(time.time() * 1000)
        rows = [{"timestamp": now_ms, "message": line} for line in lines]
        self.client.put_log_events(
            logGroupName=self.group, logStreamName=self.stream, logEvents=rows
        )


@pytest.fixture
def job(generated_job, cloud):
    cloud.containers.images.add_busybox(DB)
    fargate = generated_job.fargate
    del fargate["TaskDefinition"]
    fargate |= {
        "AllowedServices": ["nowhere.invalid/**"],
        "Cpu": 1024,
        "Memory": 2048,
        "ExecutionRole": "arn:aws:iam::123456789012:role/pull",
    }
    return generated_job


@pytest.fixture
def logs(job, cloud):
    found = CloudWatch(cloud)
    job.fargate["LogGroup"] = found.group
    job.env["AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"] = cloud.moto.url
    return found


def add_service(job, words=WORDS):
    port = {"key": "HEALTHCHECK_TCP_PORT", "value": "5432"}
    job.services({"name": DB, "alias": "db", "entrypoint": words, "variables": [port]})


def output(job, script="true\n"):
    done = job.run(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"", "in the script's output a line could divide what GitLab masks"
    return done.stderr


@pytest.mark.parametrize("wanted", ["true", None])
def test_debugged_services_print_their_logs(job, logs, cloud, wanted):
    """Each line once, while the stage runs in which it was logged."""
    add_service(job)
    job.prepare()
    if wanted is not None:
        job.env["CUSTOM_ENV_CI_DEBUG_SERVICES"] = wanted
    outs = [output(job)]  # the stream does not exist yet
    logs.open()
    logs.put("before", "two\nlines", "q " * 5_000)
    outs.append(output(job))
    process = job.start("until test -e /builds/go; do sleep 0.1; done\n")
    logs.put("after \x1b[31m")
    if wanted is not None:
        first = process.stderr.readline().decode()
        while NAME not in first:
            first = process.stderr.readline().decode()
        assert first == f"{NAME} after \\x1b[31m\n"
    (cloud.task().volume("berth-builds") / "go").touch()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    outs += [err.decode(), output(job)]
    if wanted is None:
        assert NAME not in "".join(outs)
        return
    assert [text.count(NAME) for text in outs] == [0, 6, 0, 0]
    assert f"{NAME} before\n{NAME} two\n{NAME} lines\n{NAME} q q q" in outs[1]
    assert outs[1].count("q") == 5_000


def test_one_that_is_not_ready_is_a_warning_with_its_log(job, logs, cloud, until):
    job.fargate["ServiceTimeout"] = "6s"  # the log is written meanwhile
    add_service(job, ["/bin/sleep", "600"])
    process = job.start_prepare()
    until(lambda: cloud.tasks and cloud.task().running_at, 60, "the task")
    logs.open()
    logs.put(*(f"line {n}." for n in range(200)), "cannot\x1b start")
    _, err = process.communicate(timeout=120)
    err = err.decode()
    assert process.returncode == 0, err
    assert (
        f"service '{DB}' is not ready: nothing accepts connections on port 5432; end of its log:\n"
        in err
    )
    assert r"  cannot\x1b start" in err
    assert "  line 199." in err and "  line 151." in err and "  line 150." not in err


def test_one_that_exits_is_a_warning_with_its_log(job, rude):
    """Which CloudWatch Logs has a moment later."""
    job.fargate["ServiceTimeout"] = "1h"
    rude.mode = "late"
    add_service(job, ["/bin/sh", "-c", "exit 3"])
    err = job.stage("prepare").stderr
    assert f"service '{DB}' exited with code 3, continuing without it; end of its log:\n" in err
    assert "  no password\n" in err and len(rude.calls) == 2


class RudeLogs(Handler):
    """GetLogEvents as the server's 'mode' says."""

    def handle_any(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.calls.append((time.monotonic(), request))
        getattr(self, f"on_{self.server.mode}")(request)

    do_POST = handle_any

    def events(self, token, messages):
        rows = [{"timestamp": 1, "ingestionTime": 1, "message": text} for text in messages]
        body = {"events": rows, "nextForwardToken": token, "nextBackwardToken": "b/0"}
        with contextlib.suppress(OSError):
            self.reply(json.dumps(body).encode())

    def refuse(self, code):
        body = {"__type": code, "message": "Rate exceeded"}
        self.reply(json.dumps(body).encode(), 400)

    def on_throttled(self, _):
        self.refuse("ThrottlingException")

    def on_late(self, _):
        if len(self.server.calls) == 1:
            self.refuse("ResourceNotFoundException")
        else:
            self.events("f/1", ["no password"])

    def on_denied(self, _):
        self.refuse("AccessDeniedException")

    def on_stuck(self, _):
        self.events("f/1", ["again"])

    def on_flood(self, request):
        number = int(request.get("nextToken", "f/0")[2:])
        self.events(f"f/{number + 1}", [f"{number} {'f' * 900}"] * request["limit"])

    def on_lie(self, _):
        self.reply(b'{"events": [7, {"message": []}, {}], "nextForwardToken": {"a": 1}}')

    def on_huge_token(self, _):
        self.events("f/" + "9" * 5000, ["a line"])


@pytest.fixture
def rude(job):
    with HttpServer(handler=RudeLogs) as server:
        server.calls, server.mode = [], "silent"
        job.fargate["LogGroup"] = "/ci/rude"
        job.env["AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"] = server.url
        yield server


@pytest.mark.parametrize(
    "mode", ["throttled", "denied", "silent", "stuck", "lie", "huge_token", "flood"]
)
def test_rude_logs_do_no_harm(job, rude, mode):
    rude.mode = mode
    add_service(job)
    job.prepare()
    assert rude.calls == [], "the service was ready"
    job.env["CUSTOM_ENV_CI_DEBUG_SERVICES"] = "true"
    began = time.monotonic()
    done = job.run("sleep 2.5; echo done\n")
    assert done.returncode == 0 and b"done\n" in done.stdout, done.stderr
    assert time.monotonic() - began < 60
    lines = [line for line in done.stderr.splitlines() if NAME in line]
    if mode == "denied":
        assert done.stderr.count("cannot print the logs of the services") == 1
        assert "GetLogEvents" in done.stderr
    else:
        assert "logs of the services" not in done.stderr
    if mode == "flood":
        assert len(lines) > 60 and sum(map(len, lines)) < CEILING
        assert all(line.endswith("f" * 900) for line in lines)
    elif mode == "stuck":
        assert len(lines) == 1
    else:
        assert lines == []
    rounds = (time.monotonic() - began) // 1 + 2
    assert len(rude.calls) <= (rounds if mode == "flood" else 6)
    assert all(request["limit"] == 1000 for _, request in rude.calls)
    if mode == "flood":  # where one stage ended the next begins
        again = [line for line in job.run("true\n").stderr.splitlines() if NAME in line]
        total = lines + again
        pages = [int(line.partition("] ")[2].partition(" ")[0]) for line in total]
        assert pages == sorted(pages) and pages.count(0) <= 1000
        assert again


@pytest.mark.parametrize("mode", ["silent", "throttled"])
def test_an_unreadable_log_leaves_the_warning_as_it_is(job, rude, mode):
    job.fargate["ServiceTimeout"] = "1s"
    rude.mode = mode
    add_service(job, ["/bin/sleep", "600"])
    done = job.stage("prepare")
    assert done.returncode == 0, done.stderr
    assert "not ready: nothing accepts connections on port 5432; its log is that of" in done.stderr
    assert "container 'berth-svc-1' in /ci/rude" in done.stderr
    assert rude.calls and not rude.calls[0][1]["startFromHead"]
