# SPDX-License-Identifier: MIT
"""'metrics': Prometheus text, checked by promtool, whose counters never fall."""

import json
import re
import shutil
import subprocess

import pytest

from support.history import line, many

RUDE = 'a"b\\c\n</script>\x1b[31m'


@pytest.fixture
def history(berth_driver, tmp_path):
    directory = tmp_path / "history"
    directory.mkdir(mode=0o700)

    def fill(lines):
        path = directory / "jobs.jsonl"
        path.write_text("".join(f"{text}\n" for text in lines))
        path.chmod(0o600)

    fill.directory = directory
    return fill


def metrics(driver, *words):
    done = driver.run("metrics", *words, env=driver.environment())
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def samples(text):
    return {
        match.group(1): float(match.group(2))
        for match in re.finditer(r"(?m)^(\w+(?:\{.*\})?) (\S+)$", text)
    }


def check(text):
    if shutil.which("promtool") is None:
        pytest.skip("promtool (Debian's prometheus) is not installed")
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_promtool_has_no_findings(berth_driver, history):
    check(metrics(berth_driver))
    history([*many(500), line(9999, project=RUDE, result="x", backend=RUDE)])
    berth_driver.settings["Metrics"] = {"Projects": True}
    check(metrics(berth_driver))


def test_counters_are_those_of_the_jobs(job):
    driver = job.driver
    assert samples(metrics(driver))['berth_jobs_running{backend="local"}'] == 0
    job.prepare()
    found = samples(metrics(driver))
    assert found['berth_jobs_running{backend="local"}'] == 1
    assert not any(name.startswith("berth_jobs_total") for name in found)
    (record,) = driver.metadata.glob("job-*.json")
    warm = driver.metadata / "warm-0123456789abcdef.json"  # a task that waits for a job
    warm.write_text(json.dumps(json.loads(record.read_text()) | {"job": warm.stem}))
    warm.chmod(0o600)
    assert samples(metrics(driver))['berth_jobs_running{backend="local"}'] == 1
    warm.unlink()
    assert job.run("exit 3").returncode != 0
    assert job.stage("cleanup").returncode == 0
    found = samples(metrics(driver))
    assert found['berth_jobs_total{backend="local",result="failed"}'] == 1
    assert found['berth_job_run_seconds_total{backend="local"}'] > 0
    assert found['berth_start_seconds_count{backend="local",phase="all"}'] == 1
    assert found['berth_start_seconds_bucket{backend="local",phase="all",le="+Inf"}'] == 1
    assert 0 < found['berth_start_seconds_sum{backend="local",phase="login"}'] < 60
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", re.search(r'version="(.*)"', metrics(driver)).group(1))


def test_a_bucket_counts_all_up_to_its_bound(berth_driver, history):
    history([line(n, start_seconds=seconds) for n, seconds in enumerate((0.05, 0.5, 24, 9999))])
    found = samples(metrics(berth_driver))
    bucket = 'berth_start_seconds_bucket{{backend="ecs",phase="all",le="{}"}}'
    wanted = {"0.1": 1, "0.5": 2, "1": 2, "20": 2, "30": 3, "600": 3, "+Inf": 4}
    assert {bound: found[bucket.format(bound)] for bound in wanted} == wanted
    assert found['berth_start_seconds_sum{backend="ecs",phase="all"}'] == 10023.55


@pytest.mark.parametrize("spoil", ["drop", "damage", "empty"])
def test_counters_do_not_fall(job, history, spoil):
    history([line(n, project="p") for n in range(5)])
    totals = history.directory / "totals.json"
    job.prepare()
    assert job.stage("cleanup").returncode == 0
    before = samples(metrics(job.driver))
    assert before['berth_jobs_total{backend="ecs",result="success"}'] == 5
    if spoil == "drop":  # the history is shortened, the counters stay
        history([line(4)])
    else:  # they are rebuilt
        totals.write_text("" if spoil == "empty" else '{"backends":{"ecs')
    done = job.driver.run("metrics", env=job.driver.environment())
    after = samples(done.stdout.decode())
    assert all(after[name] == value for name, value in before.items())
    assert ("totals.json' is damaged: these counters" in done.stderr) == (spoil != "drop")
    spoilt = totals.read_text()
    job.prepare()
    done = job.stage("cleanup")
    assert done.returncode == 0
    aside = list(history.directory.glob("totals.json.broken-????-??-??"))
    if spoil == "drop":
        assert aside == [] and done.stderr == ""
    else:
        assert [path.read_text() for path in aside] == [spoilt]
        assert f"was damaged and is now '{aside[0].name}'" in done.stderr
    again = samples(metrics(job.driver))
    assert all(again[name] >= value for name, value in before.items())
    assert again['berth_jobs_total{backend="local",result="canceled"}'] == 2
    assert json.loads(totals.read_text()) and totals.stat().st_mode & 0o777 == 0o600


def test_projects_only_if_asked_and_no_more_than_200(berth_driver, history):
    history([line(n, project=f"group/{n}") for n in range(300)])
    assert "project" not in metrics(berth_driver).replace("berth_project_", "project")
    berth_driver.settings["Metrics"] = {"Projects": True}
    found = samples(metrics(berth_driver))
    jobs = {
        name: value for name, value in found.items() if name.startswith("berth_project_jobs_total")
    }
    assert len(jobs) == 201 and jobs['berth_project_jobs_total{project="(other)"}'] == 100


def test_costs_are_counted_by_currency(job, history):
    """Also those of a counter that had one sum for all."""
    history([line(1, cost=2.5), line(2, cost=1.5), line(3, cost=7, currency="EUR")])
    job.driver.settings["Metrics"] = {"Projects": True}
    found = samples(metrics(job.driver))
    costs = {name: value for name, value in found.items() if "cost" in name}
    wanted = {
        'berth_job_cost_total{backend="ecs",currency="USD"}': 4,
        'berth_job_cost_total{backend="ecs",currency="EUR"}': 7,
        'berth_project_cost_total{project="group/project",currency="USD"}': 4,
        'berth_project_cost_total{project="group/project",currency="EUR"}': 7,
    }
    assert costs == wanted
    totals = history.directory / "totals.json"
    totals.write_text(
        json.dumps(
            {
                "backends": {"ecs": {"results": {"success": 3}, "start": {}, "cost": 11}},
                "projects": {"group/project": {"jobs": 3, "run_seconds": 1, "cost": 11}},
            }
        )
    )
    totals.chmod(0o600)
    job.prepare()
    assert job.stage("cleanup").returncode == 0
    text = metrics(job.driver)
    assert {name: value for name, value in samples(text).items() if "cost" in name} == {
        'berth_job_cost_total{backend="ecs"}': 11,
        'berth_project_cost_total{project="group/project"}': 11,
    }
    check(text)


def test_a_file_for_node_exporter(berth_driver, history, tmp_path):
    history([line()])
    path = tmp_path / "berth.prom"
    path.write_text("old")
    path.chmod(0o600)
    assert metrics(berth_driver, "-o", path) == ""
    assert path.read_text() == metrics(berth_driver) and path.stat().st_mode & 0o777 == 0o644
    assert not [name for name in tmp_path.iterdir() if name.name.startswith("berth.prom.")]
    done = berth_driver.run("metrics", "-o", "/dev/null", env=berth_driver.environment())
    assert done.returncode != 0 and "not a regular file" in done.stderr
