# SPDX-License-Identifier: MIT
"""Refusals of an engine: what other jobs or users cause is a system failure, a wrong request a
build failure. Statuses and texts as in moby and libnetwork."""

import hashlib
import json
import shutil

import pytest

from support.docker_engine import TOP, Engine
from support.driver import BUILD_FAILURE, SYSTEM_FAILURE
from support.engine_front import Front

NO_POOL = "could not find an available, non-overlapping IPv4 address pool among the defaults"


@pytest.fixture
def front(docker_job, engine, busybox, tmp_path):
    """The engine behind a proxy that can refuse requests; the job has a service."""
    docker_job.driver.settings["Docker"] |= {"AllowedServices": ["berth-test/*"]}
    docker_job.env["CUSTOM_ENV_CI_JOB_SERVICES"] = json.dumps(
        [{"name": busybox, "command": ["sleep", "300"]}]
    )
    with Front(engine.socket, tmp_path / "front.sock") as instance:
        docker_job.driver.settings["Docker"]["Host"] = instance.url
        yield instance
        instance.refusals.clear()
        docker_job.stage("cleanup")
        docker_job.driver.settings["Docker"]["Host"] = engine.url


CREATE, START = "/containers/create", "/containers/[0-9a-f]+/start"


@pytest.mark.parametrize(
    ("method", "path", "status", "message", "code"),
    [
        ("POST", "/networks/create", 404, NO_POOL, SYSTEM_FAILURE),
        (
            "POST",
            "/networks/create",
            400,
            "all predefined address pools have been fully subnetted",
            SYSTEM_FAILURE,
        ),
        (
            "POST",
            "/networks/create",
            403,
            "Pool overlaps with other one on this address space",
            SYSTEM_FAILURE,
        ),
        (
            "POST",
            "/networks/create",
            500,
            "failed to check bridge interface existence",
            SYSTEM_FAILURE,
        ),
        ("GET", "/images/[^/]+/json", 404, "No such image", SYSTEM_FAILURE),
        ("POST", CREATE, 404, "No such image: berth-test/busybox:1", SYSTEM_FAILURE),
        ("POST", CREATE, 429, "", SYSTEM_FAILURE),
        ("POST", CREATE, 400, "invalid reference format", BUILD_FAILURE),
        ("POST", START, 404, "network berth-job not found", SYSTEM_FAILURE),
        ("POST", START, 403, "endpoint with name x already exists in network y", SYSTEM_FAILURE),
        (
            "POST",
            START,
            500,
            "no available IPv4 addresses on this network's address pools",
            SYSTEM_FAILURE,
        ),
        ("POST", START, 403, "authorization denied by plugin opa: no", BUILD_FAILURE),
        ("POST", START, 400, 'exec: "x": executable file not found in $PATH', BUILD_FAILURE),
        (
            "POST",
            START,
            500,
            'runc create failed: exec: "x": executable file not found in $PATH',
            BUILD_FAILURE,
        ),
        (
            "POST",
            START,
            500,
            "unable to find group 99x: no matching entries in group file",
            BUILD_FAILURE,
        ),
        ("POST", START, 500, "uids and gids must be in range 0-2147483647", BUILD_FAILURE),
        ("PUT", "/containers/[0-9a-f]+/archive", 404, "No such container: x", SYSTEM_FAILURE),
    ],
)
def test_a_refusal(docker_job, front, method, path, status, message, code):
    if "images" in path:  # it was there when it was looked for first
        seen = []

        def vanish(answer):
            seen.append(1)
            if len(seen) == 2:
                front.refuse(method, path, status, message)
            return answer

        front.change(method, path, vanish)
    else:
        front.refuse(method, path, status, message)
    done = docker_job.stage("prepare")
    assert done.returncode == code, done.stderr
    assert message in done.stderr or "no longer has the image" in done.stderr


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("toomanyrequests: unauthorized and over the pull rate limit", SYSTEM_FAILURE),
        ("failed to register layer: not found: no space left on device", SYSTEM_FAILURE),
        ("manifest unknown: manifest unknown", BUILD_FAILURE),
    ],
)
def test_a_pull_that_is_refused(docker_job, front, engine, message, code):
    front.refuse("POST", "/images/create", 500, message)
    docker_job.driver.settings["Docker"]["PullPolicy"] = "always"
    done = docker_job.stage("prepare")
    assert done.returncode == code and message in done.stderr, done.stderr


# --- an engine of a narrow network: two pools of addresses, an MTU below Ethernet's


@pytest.fixture(scope="module")
def narrow(engine, busybox, tmp_path_factory):
    directory = TOP / f"build/engine-{tmp_path_factory.getbasetemp().name}"  # a worker's own
    part = hashlib.sha256(str(directory).encode()).digest()[0]  # and its own addresses
    options = ["--mtu", "1400", "--default-address-pool", f"base=10.251.{part}.0/28,size=29"]
    # Two engines would remove each other's rules, which have the same names.
    options.append("--iptables=false")
    instance = Engine(directory, options=options)
    instance.acquire()
    try:
        saved = engine.docker("save", busybox, "-o", tmp_path_factory.getbasetemp() / "busybox.tar")
        assert saved.returncode == 0
        instance.docker("load", "-i", tmp_path_factory.getbasetemp() / "busybox.tar")
        yield instance
        instance.call("POST", "/networks/prune")  # of a test that failed: bridges outlive engines
    finally:
        instance.release()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def in_narrow(docker_job, narrow, engine, busybox):
    docker_job.driver.settings["Docker"] |= {
        "AllowedServices": ["berth-test/*"],
        "Host": narrow.url,
    }
    service = {"name": busybox, "alias": "db", "command": ["sleep", "300"]}
    docker_job.env["CUSTOM_ENV_CI_JOB_SERVICES"] = json.dumps([service])
    yield docker_job
    assert docker_job.stage("cleanup").returncode == 0
    left = narrow.labelled(docker_job.driver.label)
    docker_job.driver.settings["Docker"]["Host"] = engine.url
    assert left == {"containers": [], "networks": [], "volumes": []}


@pytest.mark.xdist_group("narrow")
def test_no_address_pool_is_left(in_narrow, narrow):
    for name in ("one", "two"):
        narrow.good("POST", "/networks/create", {"Name": name})
    done = in_narrow.stage("prepare")
    narrow.good("DELETE", "/networks/one")
    assert done.returncode == SYSTEM_FAILURE, done.stderr
    assert NO_POOL in done.stderr
    in_narrow.prepare()
    narrow.good("DELETE", "/networks/two")


@pytest.mark.xdist_group("narrow")  # one engine for both
def test_the_mtu_of_the_default_bridge(in_narrow, narrow):
    """Larger packets would be dropped on the way out, and downloads would hang."""
    in_narrow.prepare()
    assert in_narrow.run("cat /sys/class/net/eth0/mtu\n").stdout == b"1400\n"
    network = narrow.good("GET", f"/networks/berth-{in_narrow.metadata()['job']}")
    assert network["Options"] == {"com.docker.network.driver.mtu": "1400"}


def test_without_an_mtu_of_the_bridge_none_is_said(docker_job, front, engine):
    docker_job.prepare()
    made = [sent for method, path, sent in front.asked if path == "/networks/create"]
    bridge = engine.good("GET", "/networks/bridge")
    assert [sent.get("Options") for sent in made] == [
        bridge["Options"]
        and {name: value for name, value in bridge["Options"].items() if name.endswith(".mtu")}
        or None
    ]
    assert ["EnableIPv6" in sent for sent in made] == [False]


def with_ipv6(answer):
    return answer | {"EnableIPv6": True}


def test_ipv6_where_the_bridge_has_it(docker_job, front, engine):
    front.change("GET", "/networks/bridge", with_ipv6)
    front.refuse("POST", "/networks/create", 404, NO_POOL.replace("IPv4", "IPv6"))
    done = docker_job.stage("prepare")
    assert done.returncode == SYSTEM_FAILURE, done.stderr
    made = [sent for method, path, sent in front.asked if path == "/networks/create"]
    assert [sent.get("EnableIPv6") for sent in made] == [True, None], "then without"
