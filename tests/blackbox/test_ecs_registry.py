# SPDX-License-Identifier: MIT
"""Whole jobs on ECS whose images are in a registry: look-ups, private images, rewrites."""

import json
import time

import pytest

from support.driver import BUILD_FAILURE
from support.registry import PASSWORD, USER, Image, Registry, TokenServer

SECRET = "arn:aws:secretsmanager:ap-northeast-1:123456789012:secret:registry-AbCdEf"


@pytest.fixture
def registry(tmp_path, generated_job):
    """Tokens; USER may read mine/app. The play of ECS has both images."""
    tokens = TokenServer(tmp_path, public={"open/app"}, readers={USER: ["mine/app"]})
    with tokens, Registry(tmp_path / "registry", tokens) as running:
        generated_job.helper["InsecureRegistries"] = [running.host, tokens.host]
        generated_job.fargate["AllowedImages"] = [f"{running.host}/**", "docker.io/*"]
        for name in ("open/app", "mine/app", "theirs/app"):
            running.push(name, "1", Image(), Image("arm64"))
            generated_job.cloud.containers.images.add_busybox(f"{running.host}/{name}:1")
        running.push("open/app", "arm", Image("arm64"))
        yield running


def definition(cloud):
    (request,) = cloud.requests("RegisterTaskDefinition")
    return {row["name"]: row for row in request["containerDefinitions"]}


def log_in(job, host):
    row = {"type": "registry", "url": host, "username": USER, "password": PASSWORD}
    job.response["credentials"] = [row]
    job.write()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("open/app:2", "does not exist in"),
        ("open/app:arm", "is built for linux/arm64, and the task runs on linux/amd64"),
    ],
)
def test_an_image_that_cannot_run(generated_job, cloud, registry, image, message):
    generated_job.image(f"{registry.host}/{image}")
    done = generated_job.stage("prepare")
    assert done.returncode == BUILD_FAILURE and message in done.stderr
    assert cloud.count("RegisterTaskDefinition") == cloud.count("RunTask") == 0


def test_a_private_image_needs_the_jobs_own_login(generated_job, cloud, registry):
    generated_job.fargate["RegistrySecrets"] = [f"{registry.host}={SECRET}"]
    generated_job.fargate["ExecutionRole"] = "arn:aws:iam::123456789012:role/execution"
    cloud.containers.secrets[SECRET] = json.dumps({"username": "shared", "password": "x"})
    cloud.containers.private_images.add(f"{registry.host}/mine/app:1")
    generated_job.image(f"{registry.host}/mine/app:1")
    done = generated_job.stage("prepare")
    assert done.returncode == BUILD_FAILURE and "needs a login" in done.stderr
    log_in(generated_job, registry.host)
    generated_job.image(f"{registry.host}/theirs/app:1")
    done = generated_job.stage("prepare")
    assert done.returncode == BUILD_FAILURE and "refused this job's login" in done.stderr
    assert cloud.count("RegisterTaskDefinition") == cloud.count("RunTask") == 0
    generated_job.image(f"{registry.host}/mine/app:1")
    done = generated_job.stage("prepare")
    assert done.returncode == 0, done.stderr
    containers = definition(cloud)
    credentials = {"credentialsParameter": SECRET}
    assert containers["ci-coordinator"]["repositoryCredentials"] == credentials
    assert "repositoryCredentials" not in containers["berth-helper"]
    assert PASSWORD not in done.stderr + json.dumps(cloud.requests("RunTask"))


def test_a_rewritten_image(generated_job, cloud, registry):
    generated_job.fargate["ImageRewrite"] = [f"docker.io/library={registry.host}/open"]
    generated_job.image("docker.io/app:1")
    done = generated_job.stage("prepare")
    assert done.returncode == 0, done.stderr
    assert definition(cloud)["ci-coordinator"]["image"] == f"{registry.host}/open/app:1"


def test_advice_for_a_faster_download(generated_job, cloud):
    """Of an image of Docker Hub, which is not asked: it did not answer some seconds ago."""
    generated_job.fargate["AllowedImages"] = ["docker.io/*"]
    cloud.containers.images.add_busybox("docker.io/app:1")
    cloud.containers.pull_s = 8.0  # the last look may see it, or not
    metadata = generated_job.driver.metadata
    metadata.mkdir(mode=0o700)
    silent = {"registry-1.docker.io": {"at": int(time.time())}}
    (metadata / ".registries").write_text(json.dumps({"version": 2, "silent": silent}))
    (metadata / ".registries").chmod(0o600)
    generated_job.image("docker.io/app:1")
    done = generated_job.stage("prepare")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    (report,) = [n for n, line in enumerate(lines) if line.startswith("berth: task ready after ")]
    advice = "berth: advice: the image is pulled from Docker Hub; [Fargate] ImageRewrite "
    assert lines[report + 1].startswith(advice)
