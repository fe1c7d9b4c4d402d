# SPDX-License-Identifier: MIT
"""Fixtures of the tests with a real Docker Engine.

engine         the engine of this tree's tests (support/docker_engine.py), with the busybox image
busybox        the name of that image: busybox alone, no bash, no git
docker_driver  berth-driver whose tasks are containers there; nothing of it may be left afterwards
docker_job     a job of it (see support/driver.py), with cleanup at the end
"""

import secrets

import pytest

from support.docker_engine import BUSYBOX, TOP, Engine, busybox_tar, missing
from support.driver import Job


@pytest.fixture(scope="session")
def engine():
    reason = missing()
    if reason:
        pytest.skip(reason)
    instance = Engine(TOP / "build/engine")
    instance.acquire()
    try:
        if not instance.has_image(BUSYBOX):
            instance.import_image(BUSYBOX, busybox_tar(), ["ENV PATH=/bin IMAGE_SAYS=hello"])
        yield instance
    finally:
        instance.release()


@pytest.fixture(scope="session")
def busybox(engine):
    assert engine.has_image(BUSYBOX)
    return BUSYBOX


@pytest.fixture
def docker_driver(berth_driver, engine, busybox):
    label = f"test={secrets.token_hex(8)}"
    berth_driver.label = label
    berth_driver.settings |= {
        "Backend": "docker",
        "Docker": {"Host": engine.url, "Image": busybox, "Labels": [label]},
        "Helper": {"Use": "never", "Busybox": "none"},
    }
    yield berth_driver
    berth_driver.stop_all()
    left = engine.labelled(label)
    for container in engine.good("GET", "/containers/json?all=1"):
        if "=".join(label.split("=")) in [f"{k}={v}" for k, v in container["Labels"].items()]:
            engine.call("DELETE", f"/containers/{container['Id']}?force=1&v=1")
    for name in left["networks"]:
        engine.call("DELETE", f"/networks/{name}")
    for name in left["volumes"]:
        engine.call("DELETE", f"/volumes/{name}")
    assert left == {"containers": [], "networks": [], "volumes": []}


@pytest.fixture
def docker_job(docker_driver, tmp_path):
    directory = tmp_path / "job"
    directory.mkdir()
    instance = Job(docker_driver, directory, job_id=secrets.randbelow(10**9))
    yield instance
    instance.finish()
