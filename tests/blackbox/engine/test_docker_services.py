# SPDX-License-Identifier: MIT
"""services: containers beside the job, on a network of their own, under GitLab's names."""

import json

import pytest

from support.docker_engine import busybox_tar
from support.driver import BUILD_FAILURE, SYSTEM_FAILURE

SERVER = ["sh", "-c", "mkdir /w; echo $WHO > /w/who; httpd -f -p 8080 -h /w"]


@pytest.fixture
def services(docker_job):
    """services([...]): the job has these."""
    docker_job.driver.settings["Docker"] |= {
        "AllowedServices": ["berth-test/*", "127.0.0.1:*/**", "cafe"],
        "ServiceTimeout": "5s",
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
    done = job.run("for i in 1 2 3 4 5 6 7 8 9; do wget -q -O - http://web:8080/own && break; "
                   "sleep 1; done\n")  # fmt: skip
    assert done.stdout == b"set here\n"


def test_the_jobs_limits_are_each_services(services, served, engine):
    """What a service runs is the job's choice too: it is no way around them."""
    job = services({"name": served["exposes"], "alias": "web", "command": SERVER})
    job.driver.settings["Docker"] |= {"Memory": "64MiB", "CPUs": 0.5, "PidsLimit": 40}
    job.prepare()
    found = engine.good("GET", f"/containers/berth-{job.metadata()['job']}-service-0/json")
    host = found["HostConfig"]
    assert (host["Memory"], host["MemorySwap"]) == (64 << 20, 64 << 20)
    assert (host["NanoCpus"], host["PidsLimit"]) == (500_000_000, 40)
    assert host["Privileged"] is False


def test_health_is_awaited(services, served):
    command = ["sh", "-c", "sleep 1; touch /tmp/ready; sleep 300"]
    job = services({"name": served["healthy"], "alias": "slow", "command": command})
    done = job.stage("prepare")
    assert done.returncode == 0 and "slow" not in done.stderr
    assert "going on without" not in done.stderr


@pytest.mark.parametrize(
    ("image", "command", "why"),
    [
        (
            "healthy",
            "echo never ready >&2; sleep 300",
            "is 'unhealthy' by its image's health check",
        ),
        ("silent", "echo never ready; sleep 300", "accepts no connection on its ports"),
        ("silent", "echo never ready; exit 4", "ended with exit code 4"),
    ],
)
def test_one_that_does_not_get_ready_is_told_with_its_log(services, served, image, command, why):
    job = services({"name": served[image], "command": ["sh", "-c", command]})
    job.driver.settings["Docker"]["ServiceTimeout"] = "1s"
    done = job.stage("prepare")
    assert done.returncode == 0, "as with GitLab, the job goes on"
    assert f"the service '{served[image]}' {why}" in done.stderr, done.stderr
    assert "never ready" in done.stderr
    assert job.run("echo ran\n").stdout == b"ran\n"


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ({"name": "other/postgres:15"}, "the service 'other/postgres:15' is not allowed here"),
        ({"name": "berth-test/no such"}, "is no name of an image"),
        ({"alias": "x"}, "the service '' is no name of an image"),
        ({"name": "cafe"}, "the service 'cafe' may be an id"),
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
    assert done.returncode == BUILD_FAILURE and "CI_JOB_SERVICES is no JSON array" in done.stderr


def test_one_that_cannot_start_leaves_nothing(services, served, engine):
    job = services(
        {"name": served["exposes"], "alias": "web", "command": SERVER},
        {"name": served["silent"], "entrypoint": ["/no/such/program"]},
    )
    done = job.stage("prepare")
    assert done.returncode in (BUILD_FAILURE, SYSTEM_FAILURE)
    assert f"cannot start the service '{served['silent']}'" in done.stderr
    left = engine.labelled(job.driver.label)
    assert left == {"containers": [], "networks": [], "volumes": []}
