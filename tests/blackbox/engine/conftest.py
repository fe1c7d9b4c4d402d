# SPDX-License-Identifier: MIT
"""Fixtures of the tests with a real Docker Engine.

engine         the engine of this tree's tests (support/docker_engine.py), with the busybox image
busybox        the name of that image: busybox alone, no bash, no git
docker_driver  berth-driver whose tasks are containers there; nothing of it may be left afterwards
docker_job     a job of it (see support/driver.py), with cleanup at the end
helper         the name of an image for the helper container, with git and gitlab-runner
helper_job     a docker_job with that helper
server         repositories, artifacts and caches (support/git_server.py), reached by containers
runner         runs whole jobs with that helper
pool           a docker_driver with one [[Warm]] of the busybox image (support/warm_pool.py)
"""

import secrets

import pytest

from runner.gitlab_runner import Runner
from support.docker_engine import BUSYBOX, TOP, Engine, busybox_tar, missing
from support.driver import Job
from support.git_server import GitServer
from support.helper_jobs import HELPER
from support.host_image import helper_tar
from support.warm_pool import Pool


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


@pytest.fixture(scope="module")
def helper(engine):
    """The helper image. Its ENTRYPOINT would fail."""
    engine.import_image(
        HELPER, helper_tar(), ['ENTRYPOINT ["/bin/false"]', "ENV PATH=/usr/bin:/bin"]
    )
    yield HELPER
    engine.remove_image(HELPER)


@pytest.fixture
def helper_job(docker_job, helper):
    docker_job.driver.settings["Helper"] = {"Use": "always", "Image": helper, "Busybox": "none"}
    return docker_job


@pytest.fixture
def server(engine, tmp_path):
    (tmp_path / "repositories").mkdir()
    with GitServer(tmp_path / "repositories", engine.address.partition("/")[0]) as instance:
        yield instance


@pytest.fixture
def runner(docker_driver, helper, programs):
    """runner(job): runs it; (its result, its log)."""
    docker_driver.settings["Helper"] = {"Use": "always", "Image": helper, "Busybox": "none"}

    def run(job):
        log = []
        command = [programs.driver, "--config", docker_driver.config(), "custom"]
        result = Runner(command, job, log.append, env=docker_driver.environment()).run()
        return result, b"".join(log).decode()

    return run


@pytest.fixture
def pool(docker_driver, engine, busybox, tmp_path):
    instance = Pool(docker_driver, engine, tmp_path, busybox)
    yield instance
    instance.end()
