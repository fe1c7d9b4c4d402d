# SPDX-License-Identifier: MIT
"""Jobs on podman's socket, which differs from Docker's API in details."""

import json
import time

import pytest

from support import podman
from support.docker_engine import BUSYBOX, busybox_tar
from support.host_image import helper_tar

# In one worker: two podmans that make networks at the same time can choose the same addresses.
pytestmark = pytest.mark.xdist_group("podman")


@pytest.fixture(scope="module")
def pod(tmp_path_factory):
    reason = podman.missing()
    if reason:
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("p")
    instance = podman.Podman(directory).start()
    try:
        instance.import_image(BUSYBOX, busybox_tar(), ["ENV PATH=/bin", "ENV IMAGE_SAYS=hello"])
        yield instance
    finally:
        instance.stop()


@pytest.fixture
def on_podman(docker_job, engine, pod):
    image = f"docker.io/{BUSYBOX}"
    docker_job.driver.settings["Docker"] |= {
        "Host": pod.url,
        "Image": image,
        "AllowedServices": ["docker.io/berth-test/*"],
        "ServiceTimeout": "100s",
    }
    service = {"name": image, "alias": "db", "command": ["sleep", "300"]}
    docker_job.env["CUSTOM_ENV_CI_JOB_SERVICES"] = json.dumps([service])
    yield docker_job
    assert docker_job.stage("cleanup").returncode == 0
    docker_job.driver.settings["Docker"]["Host"] = engine.url


def test_a_service_without_a_health_check_is_ready_at_once(on_podman, pod):
    """podman reports an empty health status for it."""
    began = time.monotonic()
    done = on_podman.stage("prepare")
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    name = f"berth-{on_podman.metadata()['job']}-service-0"
    health = pod.good("GET", f"/containers/{name}/json")["State"].get("Health") or {}
    assert health.get("Status", "") == "", "what this test is about"
    assert "continuing without it" not in done.stderr and seconds < 90, done.stderr
    assert on_podman.run("echo $IMAGE_SAYS\n").stdout == b"hello\n"


def test_a_helper(on_podman, pod):
    """Its volume, too, has labels by which cleanup finds it."""
    pod.import_image("berth-test/helper:1", helper_tar(), ["ENV PATH=/usr/bin:/bin"])
    image = "docker.io/berth-test/helper:1"
    on_podman.driver.settings["Helper"] |= {"Use": "always", "Image": image}
    done = on_podman.stage("prepare")
    assert done.returncode == 0, done.stderr
    assert on_podman.run("git --version; echo x >/builds/f\n", "get_sources").returncode == 0
    assert on_podman.run("cat /builds/f\n").stdout == b"x\n"
    assert on_podman.stage("cleanup").returncode == 0
    assert not pod.good("GET", "/volumes")["Volumes"]
