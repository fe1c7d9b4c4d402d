# SPDX-License-Identifier: MIT
"""'ps' and 'gc' on ECS, and many jobs at once."""

import re
import threading
import time

import pytest

from support.driver import PS_COLUMNS
from support.ecs import CONTAINER, FAMILY, EcsJob
from support.ecs_requests import Fault, refusal


def run(ecs_job, *words):
    done = ecs_job.driver.run(*words, env=ecs_job.env)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines(), done.stderr


@pytest.fixture
def prepared(ecs_job, cloud):
    ecs_job.driver.settings["Price"] = {"VcpuHour": 3600, "GibHour": 0.0}
    ecs_job.fargate["Tags"] = ["job=$CI_JOB_URL"]
    assert ecs_job.stage("prepare").returncode == 0
    return ecs_job


def test_ps_without_a_task(ecs_job):
    assert run(ecs_job, "ps") == ([], "no task of this runner on the backend 'ecs'\n")


def test_ps(prepared, cloud, until):
    task = cloud.task()
    until(lambda: task.status == "RUNNING" and time.time() - task.running_at > 0.1)
    heading, row = run(prepared, "ps")[0]
    assert heading.split() == PS_COLUMNS
    pattern = r"(job-4711-\S+) +(\d+)s +RUNNING +1 +2 GiB +([\d.]+) +- +- +(\S+) +(\S+)"
    match = re.fullmatch(pattern, row)
    assert match, row
    assert match[4] == task.arn and match[5] == prepared.url
    # One currency unit a second; the age is cut to whole seconds.
    assert 0 <= float(match[3]) - int(match[2]) < 1.01


@pytest.mark.parametrize(
    "capacity, factor",
    [
        (("FARGATE", "FARGATE"), 1),
        (("FARGATE", "FARGATE_SPOT"), 0.3),
        (("EC2", "our-instances"), None),
        (("MANAGED_INSTANCES", "our-instances"), None),
        (("EXTERNAL", ""), None),
    ],
)
def test_ps_counts_by_what_ecs_reports(prepared, cloud, until, capacity, factor):
    """A default strategy may use EC2 instances, to which [Price] does not apply."""
    task = cloud.task()
    until(lambda: task.status == "RUNNING")
    task.running_at -= 1000
    launch_type, provider = capacity
    task.capacity = (launch_type, provider)
    _, row = run(prepared, "ps")[0]
    cost = row.split()[6]
    if factor is None:
        assert cost == "-", row
    else:
        assert 1000 * factor <= float(cost) < 1100 * factor, row


def strange_tasks(cloud, owner="berth/0123456789ab/job-9-f00"):
    """Tasks of others."""
    network = {"subnets": [cloud.subnets[0]], "securityGroups": [cloud.group]}
    for started_by in ("", "somebody", owner):
        cloud.moto.ecs.run_task(
            cluster=cloud.cluster,
            taskDefinition=FAMILY,
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": network},
            overrides={"containerOverrides": [{"name": CONTAINER}]},
            startedBy=started_by,
        )


@pytest.mark.parametrize(
    "words, reason", [(["gc", "--stop"], "fargate gc: "), (["custom", "cleanup"], "fargate: ")]
)
def test_the_reason_of_a_stop_has_the_name_of_the_program(prepared, cloud, tmp_path, words, reason):
    link = tmp_path / "fargate"
    link.symlink_to(prepared.driver.program)
    prepared.driver.program = link
    if words[0] == "gc":
        for path in prepared.driver.metadata.glob("job-*.json"):
            path.unlink()
    run(prepared, *words)
    (stop,) = cloud.requests("StopTask")
    assert stop["reason"].startswith(reason)


def test_gc_stops_only_tasks_of_this_runner(prepared, cloud):
    cloud.page = 2
    strange_tasks(cloud)
    assert run(prepared, "gc") == ([], "no orphaned tasks on the backend 'ecs'\n")
    (path,) = prepared.driver.metadata.glob("job-*.json")
    text = path.read_bytes()
    path.unlink()
    lines, reported = run(prepared, "gc")
    (line,) = lines
    assert cloud.task().arn in line and line.startswith("would stop")
    assert "nothing was stopped" in reported and cloud.task().arn in cloud.running()
    lines, _ = run(prepared, "gc", "--stop")
    assert lines == [f"stopped {cloud.task().arn} of {path.stem}"]
    left = cloud.running()
    assert cloud.task().arn not in left and len(left) == 3
    (stop,) = cloud.requests("StopTask")
    assert stop["reason"] == "berth-driver gc: no job of this runner knows this task"
    path.write_bytes(text)
    for arn in left:
        cloud.moto.ecs.stop_task(cluster=cloud.cluster, task=arn)


def test_a_listing_keeps_the_pace(prepared, cloud):
    """Its calls count as those of drivers that wait."""
    cloud.page = 1
    strange_tasks(cloud)
    others = [arn for arn in cloud.running() if arn != cloud.task().arn]
    prepared.fargate["CallsPerSecond"] = 5
    before = len(cloud.times)
    began = time.monotonic()  # the stand-in may note the first call late
    assert len(run(prepared, "ps")[0]) == 2
    looks = [at for at, name in cloud.times[before:] if name == "DescribeTasks"]
    assert len(looks) == 4 and looks[-1] - began >= 0.55
    for arn in others:
        cloud.moto.ecs.stop_task(cluster=cloud.cluster, task=arn)


def forget(job):
    """No metadata knows the task any more."""
    (path,) = job.driver.metadata.glob("job-*.json")
    return path.rename(job.driver.directory / f"{path.name}-{time.monotonic_ns()}")


def test_gc_stops_nothing_without_the_metadata_directory(prepared, cloud):
    """One that is not mounted has the records of the running jobs."""
    away = prepared.driver.metadata.with_name("away")
    prepared.driver.metadata.rename(away)
    done = prepared.driver.run("gc", "--stop", env=prepared.env)
    assert done.returncode == 1 and done.stdout == b""
    assert f"'{prepared.driver.metadata}' does not exist" in done.stderr
    assert "nothing was stopped; if it is not mounted, mount it" in done.stderr
    assert cloud.task().arn in cloud.running() and not cloud.requests("StopTask")
    away.rename(prepared.driver.metadata)
    assert run(prepared, "gc", "--stop") == ([], "no orphaned tasks on the backend 'ecs'\n")


def test_gc_says_what_it_could_not_stop(prepared, cloud):
    (path,) = prepared.driver.metadata.glob("job-*.json")
    text = path.read_bytes()
    path.unlink()
    body = refusal("AccessDeniedException", "not authorized to perform: ecs:StopTask")
    cloud.faults.append(Fault("StopTask", status=400, body=body))
    done = prepared.driver.run("gc", "--stop", env=prepared.env)
    assert done.returncode != 0 and cloud.task().arn in done.stderr
    path.write_bytes(text)


def test_gc_goes_on_after_a_task_that_it_cannot_stop(prepared, cloud):
    (path,) = prepared.driver.metadata.glob("job-*.json")
    first = forget(prepared)
    assert prepared.stage("prepare").returncode == 0
    forget(prepared)
    body = refusal("AccessDeniedException", "not authorized to perform: ecs:StopTask")
    cloud.faults.append(Fault("StopTask", status=400, body=body))
    done = prepared.driver.run("gc", "--stop", env=prepared.env)
    assert done.returncode != 0 and "not every task could be stopped" in done.stderr
    assert cloud.count("StopTask") == 2 and len(cloud.running()) == 1
    (left,) = cloud.running()
    assert f"cannot stop task {left}" in done.stderr and left not in done.stdout.decode()
    first.rename(path)  # for the cleanup at the end


def test_exec_leaves_nothing(ecs_job, cloud):
    done = ecs_job.driver.run("exec", "--", "echo $CONTAINER_SAYS; exit 9", env=ecs_job.env)
    assert (done.returncode, done.stdout) == (9, b"hello\n"), done.stderr
    assert cloud.running() == []


def test_many_jobs_at_once(berth_driver, cloud, tmp_path):
    """Each gets its own task and output, and calls stay below CallsPerSecond."""
    cloud.pending_s = 0.5
    jobs = []
    for number in range(24):
        directory = tmp_path / f"job-{number}"
        directory.mkdir()
        jobs.append(EcsJob(berth_driver, directory, cloud, 1000 + number))
    berth_driver.settings["Fargate"]["CallsPerSecond"] = 20
    path = berth_driver.config()
    results = {}

    def stage(job, *words):
        # The file is written once: no thread may read it while another rewrites it.
        words = ("--config", path, "custom", *words)
        return berth_driver.run(*words, env=job.env, config=False)

    def one(job, number):
        script = job.script(f"echo {number}-$((20 + 22)); exit {number}\n")
        results[number] = [
            stage(job, "prepare"),
            stage(job, "run", script, "build_script"),
            stage(job, "cleanup"),
        ]

    started = time.monotonic()
    threads = [threading.Thread(target=one, args=(job, n)) for n, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - started
    for number, (prepared, done, cleaned) in results.items():
        assert prepared.returncode == 0, prepared.stderr
        assert done.stdout == f"{number}-42\n".encode()
        assert jobs[number].exit_code() == (f"{number}\n" if number else None)
        assert cleaned.returncode == 0, cleaned.stderr
    assert cloud.running() == [] and len(cloud.tasks) == len(jobs)
    assert cloud.count("RunTask") == cloud.count("StopTask") == len(jobs)
    assert cloud.count("DescribeTasks") <= 20 * took + len(jobs) + 5
