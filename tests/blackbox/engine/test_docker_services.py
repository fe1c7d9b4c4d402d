# SPDX-License-Identifier: MIT
"""services: containers on a network of the job, with GitLab's aliases."""

import json

import pytest

from support.docker_engine import busybox_tar
from support.driver import BUILD_FAILURE, SYSTEM_FAILURE
from support.engine_front import Front
from support.start_report import ROUNDING_S, read_report

SERVER = ["sh", "-c", "mkdir /w; echo $WHO > /w/who; httpd -f -p 8080 -h /w"]


@pytest.fixture
def services(docker_job):
    """services([...]): a job with these services."""
    docker_job.driver.settings["Docker"] |= {
        "AllowedServices": ["berth-test/*", "127.0.0.1:*/**", "cafe"],
        "ServiceTimeout": "60s",  # also on a busy machine
    }

    def have(*wanted):
        docker_job.env["CUSTOM_ENV_CI_JOB_SERVICES"] = json.dumps(wanted)
        return docker_job

    return have


@pytest.fixture(scope="module")
def served(engine):
    """Names of images: one that exposes its port, one with health checks of each kind."""
    tar = busybox_tar()
    image = {
        "exposes": ["ENV PATH=/bin", "EXPOSE 8080"],
        "healthy": ["ENV PATH=/bin", "HEALTHCHECK --interval=200ms CMD test -e /tmp/ready"],
        "silent": ["ENV PATH=/bin", "EXPOSE 9"],
    }
    for name, changes in image.items():
        engine.import_image(f"berth-test/{name}:1", tar, changes)
    return {name: f"berth-test/{name}:1" for name in image}


def test_a_service_answers_under_its_names(services, served, engine):
    job = services({"name": served["exposes"], "alias": "web, other", "command": SERVER})
    response = json.loads(job.response_file.read_text())
    response["variables"] = [
        {"key": "WHO", "value": "$X", "public": True, "masked": False, "file": False},
        {"key": "HIDDEN", "value": "s", "public": False, "masked": False, "file": False},
        {"key": "MASKED", "value": "s", "public": True, "masked": True, "file": False},
        {"key": "FILE", "value": "s", "public": True, "masked": False, "file": True},
    ]
    job.response_file.write_text(json.dumps(response))
    job.env |= {f"CUSTOM_ENV_{name}": "expanded" for name in ("WHO", "HIDDEN", "MASKED", "FILE")}
    job.prepare()
    for name in ("web", "other", "berth-test__exposes", "berth-test-exposes"):
        done = job.run(f"wget -q -O - http://{name}:8080/who\n")
        assert done.stdout == b"expanded\n", (name, done.stderr)
    key = job.metadata()["job"]
    found = engine.good("GET", f"/containers/berth-{key}-service-0/json")
    assert {"WHO=expanded"} == {e for e in found["Config"]["Env"] if not e.startswith("PATH=")}
    assert job.stage("cleanup").returncode == 0
    left = engine.labelled(job.driver.label)
    assert left == {"containers": [], "networks": [], "volumes": []}


@pytest.mark.parametrize("published", [False, True])
def test_a_slow_service_in_the_start_report(services, served, published):
    """It is neither the start of the container nor the login."""
    words = ["sh", "-c", "sleep 3; exec httpd -f -p 8080 -h /"]
    job = services({"name": served["exposes"], "alias": "web", "command": words})
    job.driver.settings["Docker"]["Publish"] = published
    done = job.stage("prepare")
    assert done.returncode == 0, done.stderr
    total, parts = read_report(done.stdout)
    names = {"image pulled in", "container create", "container start", "login", "services"}
    assert names <= set(parts) <= names | {"other"}, done.stdout
    assert parts["services"] >= 1 and parts["login"] > 0, done.stdout
    assert abs(sum(parts.values()) - total) < ROUNDING_S, done.stdout
    assert parts["container start"] <= total - parts["services"] + ROUNDING_S, done.stdout


def test_the_job_can_be_reached_as_build(services, served):
    job = services({"name": served["exposes"], "alias": "web", "command": SERVER}).prepare()
    done = job.run("getent hosts build || nslookup build\n")
    assert b"build" in done.stdout


def test_entrypoint_and_variables(services, busybox):
    script = 'mkdir /w; echo "$OWN" > /w/own; httpd -f -p 8080 -h /w'
    job = services(
        {
            "name": busybox,
            "alias": "web",
            "entrypoint": ["/bin/sh", "-c"],
            "command": [script],
            "variables": {"OWN": "set here"},
        }
    ).prepare()
    done = job.run("for i in $(seq 60); do wget -q -O - http://web:8080/own && break; "
                   "sleep 1; done\n")  # fmt: skip
    assert done.stdout == b"set here\n"


def test_the_jobs_limits_are_each_services(services, served, engine):
    """The job chooses what a service runs, so the job's limits apply to it."""
    job = services({"name": served["exposes"], "alias": "web", "command": SERVER})
    job.driver.settings["Docker"] |= {"Memory": "64MiB", "CPUs": 0.5, "PidsLimit": 40}
    job.prepare()
    found = engine.good("GET", f"/containers/berth-{job.metadata()['job']}-service-0/json")
    host = found["HostConfig"]
    assert (host["Memory"], host["MemorySwap"]) == (64 << 20, 64 << 20)
    assert (host["NanoCpus"], host["PidsLimit"]) == (500_000_000, 40)
    assert host["Privileged"] is False


@pytest.mark.parametrize(("mounted", "seen"), [(True, b"from the job\n"), (False, b"")])
def test_the_builds_directory_in_a_service(services, busybox, mounted, seen):
    """On by default; what the job writes there is what the service reads."""
    serve = ["sh", "-c", "mkdir -p /builds; httpd -f -p 8080 -h /builds"]
    job = services(
        {"name": busybox, "alias": "web", "command": serve,
         "variables": {"HEALTHCHECK_TCP_PORT": "8080"}}
    )  # fmt: skip
    job.driver.settings["Services"] = {"Builds": mounted}
    job.prepare()
    done = job.run("echo from the job >/builds/f; wget -q -O - http://web:8080/f 2>/dev/null\n")
    assert done.stdout == seen


@pytest.mark.parametrize(
    ("port", "ready"), [("8080", True), ("8081", False), ("80x", True), ("65536", True)]
)
def test_the_variable_for_the_port_comes_first(services, served, port, ready):
    """Before the health check of the image, which would never pass, and the exposed ports."""
    name = served["healthy"] if ready and port == "8080" else served["exposes"]
    job = services(
        {
            "name": name,
            "alias": "web",
            "command": SERVER,
            "variables": {"healthcheck_TCP_port": port},
        }
    )
    job.driver.settings["Docker"]["ServiceTimeout"] = "60s" if ready else "2s"
    done = job.stage("prepare")
    assert ("continuing without it" not in done.stderr) == ready, done.stderr
    if not ready:
        assert f"does not accept connections on port {port}" in done.stderr
    wrong = f"service '{name}': ignoring its variable HEALTHCHECK_TCP_PORT: '{port}' is not a port"
    assert done.stderr.count(wrong) == (port not in ("8080", "8081")), done.stderr


def test_reserved_aliases(services, busybox, engine):
    job = services(
        {"name": busybox, "alias": "localhost, Build", "command": ["sleep", "300"]},
        {"name": busybox, "alias": "db two\x01three", "command": ["sleep", "300"]},
        {"name": busybox, "alias": "db", "command": ["sleep", "300"]},
    )
    done = job.stage("prepare")
    for word in ("localhost", "Build"):
        assert f"ignoring the alias '{word}', which is reserved" in done.stderr, done.stderr
    assert "which is not a valid host name" in done.stderr
    assert "ignoring the alias 'db', which another service has" in done.stderr
    key = job.metadata()["job"]
    for number, names in enumerate((["berth-test__busybox", "berth-test-busybox"], ["db"], [])):
        found = engine.good("GET", f"/containers/berth-{key}-service-{number}/json")
        aliases = found["NetworkSettings"]["Networks"][f"berth-{key}"]["Aliases"]
        assert [name for name in aliases if name != found["Id"][:12]] == names


@pytest.mark.parametrize("wanted", ["true", None])
def test_debugged_services_print_their_logs(services, busybox, wanted):
    """Each line once, in the stage in which it was logged, also those from before the first."""
    script = "echo before; touch /builds/began; "
    script += "for i in $(seq 1 500); do test -e /builds/go && break; sleep 0.2; done; "
    script += "printf 'after \\033[31m'; head -c 40000 /dev/zero | tr '\\0' q; echo; "
    script += "touch /builds/done; sleep 300"
    job = services({"name": busybox, "alias": "noisy", "command": ["sh", "-c", script]})
    if wanted is not None:
        job.env["CUSTOM_ENV_CI_DEBUG_SERVICES"] = wanted
    job.prepare()
    name = "[service:noisy-berth-test__busybox-berth-test-busybox]"
    outs, scripts = [], []
    await_began = "until test -e /builds/began; do sleep 0.1; done"
    await_done = "touch /builds/go; until test -e /builds/done; do sleep 0.1; done"
    for line in (await_began, await_done, "true"):
        done = job.run(line + "\n")
        assert done.returncode == 0
        outs.append(done.stderr)
        scripts.append(done.stdout)
    assert scripts == [b""] * 3, "in the script's output a line could divide what GitLab masks"
    if wanted is None:
        assert "noisy" not in "".join(outs)
        return
    assert outs[0].count(f"{name} before\n") == 1 and f"{name} after" not in outs[0]
    assert "before" not in outs[1] + outs[2]
    later = outs[1] + outs[2]
    assert later.count(f"{name} after \\x1b[31mqqq") == 1
    assert later.count("q") == 40_000


def test_a_log_that_cannot_be_read_holds_up_no_other(services, busybox, engine, until, tmp_path):
    words = ["sh", "-c", "echo words; sleep 300"]
    job = services(
        {"name": busybox, "alias": "one", "command": words},
        {"name": busybox, "alias": "two", "command": words},
    )
    with Front(engine.socket, tmp_path / "front.sock") as front:
        job.driver.settings["Docker"]["Host"] = front.url
        job.prepare()
        front.drop("GET", ".*-service-0/logs")
        job.env["CUSTOM_ENV_CI_DEBUG_SERVICES"] = "true"
        shown = []

        def has_two():  # a stage may come before the engine has the lines
            shown.append(job.run("true\n").stderr)
            return "[service:two" in shown[-1]

        until(has_two, what="the log of the other service")
        job.driver.settings["Docker"]["Host"] = engine.url
    assert "[service:one" not in "".join(shown)


def test_ports_of_another_form_are_none(services, served, engine, tmp_path):
    def listed(container):
        container["Config"]["ExposedPorts"] = ["8080/tcp", 8080, None]
        return container

    job = services({"name": served["silent"], "command": ["sleep", "300"]})
    with Front(engine.socket, tmp_path / "front.sock") as front:
        front.change("GET", ".*-service-0/json", listed)
        job.driver.settings["Docker"]["Host"] = front.url
        done = job.stage("prepare")
        job.driver.settings["Docker"]["Host"] = engine.url
    assert done.returncode == 0, done.stderr


def test_health_is_awaited(services, served):
    command = ["sh", "-c", "sleep 1; touch /tmp/ready; sleep 300"]
    job = services({"name": served["healthy"], "alias": "slow", "command": command})
    done = job.stage("prepare")
    assert done.returncode == 0 and "slow" not in done.stderr
    assert "continuing without it" not in done.stderr


@pytest.mark.parametrize(
    ("image", "command", "why"),
    [
        (
            "healthy",
            "echo never ready >&2; sleep 300",
            "is 'unhealthy' by its image's health check",
        ),
        ("silent", "echo never ready; sleep 300", "does not accept connections on its ports"),
        ("silent", "echo never ready; exit 4", "exited with code 4"),
    ],
)
def test_one_that_is_not_ready_is_reported_with_its_log(services, served, image, command, why):
    job = services({"name": served[image], "command": ["sh", "-c", command]})
    # For what a busy engine takes until the reason is there, if another than the time is expected.
    listens = why.startswith("does not accept")
    job.driver.settings["Docker"]["ServiceTimeout"] = "3s" if listens else "30s"
    done = job.stage("prepare")
    assert done.returncode == 0, "as with GitLab, the job goes on"
    assert f"service '{served[image]}' {why}" in done.stderr, done.stderr
    assert "never ready" in done.stderr
    assert job.run("echo ran\n").stdout == b"ran\n"


@pytest.mark.parametrize(
    ("service", "words"),
    [
        (
            {"name": "other/postgres:15"},
            "the job's service 'other/postgres:15' is not allowed;",
        ),
        ({"name": "berth-test/no such"}, "is not a valid image name"),
        ({"alias": "x"}, "the job's service '' is not a valid image name"),
        ({"name": "cafe"}, "the job's service 'cafe' may be an image id"),
    ],
)
def test_mistakes(services, engine, service, words):
    job = services(service)
    done = job.stage("prepare")
    assert (done.returncode, words in done.stderr) == (BUILD_FAILURE, True), done.stderr
    assert engine.labelled(job.driver.label)["containers"] == []


def test_not_json(services):
    job = services()
    job.env["CUSTOM_ENV_CI_JOB_SERVICES"] = "{"
    done = job.stage("prepare")
    assert (
        done.returncode == BUILD_FAILURE
        and "CI_JOB_SERVICES is not a valid JSON array" in done.stderr
    )


def test_one_that_cannot_start_leaves_nothing(services, served, engine):
    job = services(
        {"name": served["exposes"], "alias": "web", "command": SERVER},
        {"name": served["silent"], "entrypoint": ["/no/such/program"]},
    )
    done = job.stage("prepare")
    assert done.returncode in (BUILD_FAILURE, SYSTEM_FAILURE)
    assert f"cannot start service '{served['silent']}'" in done.stderr
    left = engine.labelled(job.driver.label)
    assert left == {"containers": [], "networks": [], "volumes": []}
