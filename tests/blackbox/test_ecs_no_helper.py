# SPDX-License-Identifier: MIT
"""[Helper] Use = "never" on ECS: all stages in the job's container."""

import pytest

from support.driver import BUILD_FAILURE, SYSTEM_FAILURE

FULL, DB = "nowhere.invalid/full:1", "nowhere.invalid/db:1"
LATE = ["/bin/sh", "-c", "sleep 1; exec nc -ll -p 5432 -e cat"]


@pytest.fixture
def job(generated_job, cloud, tmp_path):
    """In an image with git and a stand-in for gitlab-runner."""
    script = tmp_path / "gitlab-runner"
    script.write_text("#!/bin/sh\necho stand-in for gitlab-runner\n")
    script.chmod(0o755)
    cloud.containers.images.add(FULL, "/", files={"/usr/bin/gitlab-runner": script})
    cloud.containers.images.add_busybox(DB)
    generated_job.fargate["AllowedServices"] = ["nowhere.invalid/*"]
    generated_job.helper["Use"] = "never"
    generated_job.response |= {"artifacts": [{"paths": ["f"]}], "cache": [{"key": "k"}]}
    generated_job.image(FULL, entrypoint=["env", "WRAPPED=1"])
    return generated_job


def prepare(job, code=0):
    done = job.stage("prepare")
    assert done.returncode == code, done.stderr
    return done


def database(**more):
    return {"name": DB, "alias": "db", "entrypoint": LATE, **more}


def test_all_stages_in_the_jobs_container(job, cloud):
    done = prepare(job)
    assert "'entrypoint' is ignored without a helper container" in done.stderr
    assert "pinned the key" not in done.stderr, "the agent is ours: no key is taken on trust"
    (request,) = cloud.requests("RegisterTaskDefinition")
    names = {row["name"] for row in request["containerDefinitions"]}
    assert names == {"berth-inject", "ci-coordinator"}
    (run,) = cloud.requests("RunTask")
    assert [row["name"] for row in run["overrides"]["containerOverrides"]] == ["ci-coordinator"]
    assert not job.metadata().get("has_helper")
    script = "git init -q /builds/p; gitlab-runner; echo ${WRAPPED:-plain}\n"
    assert job.run(script, "get_sources").stdout == b"stand-in for gitlab-runner\nplain\n"
    assert job.run("ls -A /builds/p; echo ${WRAPPED:-plain}\n").stdout == b".git\nplain\n"


def test_services_get_their_variables_as_overrides(job, cloud):
    port = {"key": "HEALTHCHECK_TCP_PORT", "value": "5432"}
    job.variables(("PW", "sesame-0123456789", {"masked": True}))
    job.services(database(variables=[port, {"key": "SECRET", "value": "$PW"}]))
    done = prepare(job, BUILD_FAILURE)
    assert "variable SECRET has a masked value" in done.stderr
    assert 'set [Helper] Use = "auto", then its variables are passed over SSH' in done.stderr
    job.services(database(variables=[port]))
    assert "not ready" not in prepare(job).stderr
    done = job.run("exec 3<>/dev/tcp/db/5432; echo hello >&3; head -n 1 <&3\n")
    assert done.stdout == b"hello\n", "it was waited for"
    (run,) = cloud.requests("RunTask")
    rows = {row["name"]: row["environment"] for row in run["overrides"]["containerOverrides"]}
    assert rows["berth-svc-1"] == [{"name": "HEALTHCHECK_TCP_PORT", "value": "5432"}]


@pytest.mark.parametrize(
    "strategy, files, lacks",
    [
        (None, False, "git"),
        ("none", True, "gitlab-runner"),
        ("none", False, None),
    ],
)
def test_an_image_that_lacks_a_program(job, cloud, strategy, files, lacks):
    job.image(DB)
    if strategy:
        job.env["CUSTOM_ENV_GIT_STRATEGY"] = strategy
    if not files:
        job.response |= {"artifacts": [], "cache": []}
        job.write()
    done = prepare(job, BUILD_FAILURE if lacks else 0)
    assert (f"the job's image has no {lacks}, and there is no helper" in done.stderr) == bool(lacks)
    assert ('install it in the image, or set [Helper] Use = "auto"' in done.stderr) == bool(lacks)
    assert bool(cloud.running()) != bool(lacks)


def test_a_closed_port_is_the_jobs_alone(job, cloud):
    job.driver.settings["SSH"]["ConnectTimeout"] = "1s"
    gate = cloud.hold(4711, "DescribeTasks", "before")
    process = job.start_prepare()
    assert gate.reached.wait(60)
    cloud.task().private = "127.0.0.99"  # where nothing listens
    gate.open.set()
    stderr = process.communicate(timeout=60)[1].decode()
    assert process.returncode == SYSTEM_FAILURE, stderr
    assert "does not answer on port 22122; a security group" in stderr and "22123" not in stderr
