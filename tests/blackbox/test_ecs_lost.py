# SPDX-License-Identifier: MIT
"""Tasks of a RunTask without an answer are found and stopped."""

import json
import time

import pytest

from support.driver import SYSTEM_FAILURE, prepare
from support.ecs_requests import Fault, refusal

ATTEMPTS = 3  # of one call


def edit(ecs_job, change):
    (path,) = ecs_job.driver.metadata.glob("job-*.json")
    data = json.loads(path.read_text())
    change(data["state"])
    path.write_text(json.dumps(data))


@pytest.mark.parametrize("age_s, replays", [(3600, 0), (601, 0), (30, 1)])
def test_an_old_intent_is_not_replayed(ecs_job, cloud, age_s, replays):
    """ECS may have forgotten the token, so RunTask would start another task."""
    prepare(ecs_job)
    task = cloud.task()
    cloud.moto.ecs.stop_task(cluster=cloud.cluster, task=task.arn)
    task.stop("UserInitiated", "")

    def age(state):
        del state["arn"]
        state["asked_at"] = str(int(time.time()) - age_s)

    edit(ecs_job, age)
    cloud.listing = False
    done = ecs_job.stage("cleanup")
    cloud.listing = True
    assert done.returncode == 0, done.stderr
    assert cloud.count("RunTask") == 1 + replays
    assert cloud.count("ListTasks") >= 1, "it is looked for all the same"
    assert ecs_job.metadata() is None


def test_a_task_is_found_after_the_clock_was_set_back(ecs_job, cloud):
    """RunTask seems to be in the future; it may have been a moment ago."""
    prepare(ecs_job)

    def lose(state):
        del state["arn"]
        state["asked_at"] = str(int(time.time()) + 60)

    edit(ecs_job, lose)
    cloud.listing = False
    done = ecs_job.stage("cleanup")
    cloud.listing = True
    assert done.returncode == 0, done.stderr
    assert cloud.running() == [] and ecs_job.metadata() is None


SERVER = refusal("ServerException", "Internal Error")
LOST = {
    "no answer": {"reset": "after"},
    "500": {"status": 500, "body": SERVER, "done": True},
    "half an answer": {"raw": b'{"tasks": ['},
}


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("listing", [True, False])
@pytest.mark.parametrize("capacity", [{}, {"Spot": True}])
def test_a_lost_answer_is_not_asked_again_elsewhere(ecs_job, cloud, lost, listing, capacity):
    """Another subnet or provider would lose a task that the first request started."""
    ecs_job.fargate |= {"Subnets": cloud.subnets, **capacity}
    cloud.listing = listing
    cloud.faults.append(Fault("RunTask", times=ATTEMPTS, **LOST[lost]))
    done = prepare(ecs_job, SYSTEM_FAILURE)
    cloud.listing = True
    assert len({request["clientToken"] for request in cloud.requests("RunTask")}) == 1
    assert len(cloud.tasks) == 1 and cloud.running() == [], done.stderr
    (stop,) = cloud.requests("StopTask")
    assert stop["task"] == cloud.task().arn
    assert ecs_job.metadata() is None


@pytest.mark.parametrize("denied", [1, 2])
def test_a_task_that_could_not_be_stopped_is_not_hidden_by_another(ecs_job, cloud, denied):
    """Two tasks are found, one cannot be stopped: cleanup fails and keeps the metadata."""
    prepare(ecs_job)
    (path,) = ecs_job.driver.metadata.glob("job-*.json")
    path.unlink()
    prepare(ecs_job)
    assert len(cloud.running()) == 2
    edit(ecs_job, lambda state: state.pop("arn"))
    body = refusal("AccessDeniedException", "not authorized to perform: ecs:StopTask")
    if denied == 2:
        cloud.faults.append(Fault("StopTask"))
    cloud.faults.append(Fault("StopTask", status=400, body=body))
    done = ecs_job.stage("cleanup")
    assert done.returncode != 0 and "cannot stop task" in done.stderr
    assert cloud.count("StopTask") == 2, "the other one is stopped all the same"
    assert len(cloud.running()) == 1 and ecs_job.metadata() is not None
    (left,) = cloud.running()
    assert left in done.stderr
