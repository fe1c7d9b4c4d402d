# SPDX-License-Identifier: MIT
"""The history of jobs: what each leaves, what rude files and disks do to it, and 'history'."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import time

import pytest

from support.driver import BUILD_FAILURE, SYSTEM_FAILURE, Job
from support.history import documented, line, many
from support.mounts import _in_namespace
from support.processes import alive
from support.terminal import Terminal

RUDE = "</script><script>alert(1)</script>\u202e\x1b[31m"
SECRET = "hunter22-glpat"


def response(job, **more):
    """JOB_RESPONSE_FILE as GitLab sends it."""
    members = json.loads(job.response_file.read_text()) | {
        "job_info": {
            "name": "unit tests",
            "stage": "test",
            "project_id": 7,
            "project_name": "proj",
        },
        "git_info": {
            "repo_url": f"https://gitlab-ci-token:{job.token}@gitlab.example.com/group/proj.git",
            "ref": "main",
        },
        "image": {"name": "$CI_REGISTRY_IMAGE/build:1"},
        "variables": [
            {"key": "PASSWORD", "value": SECRET, "public": False, "masked": True},
            {"key": "OPEN", "value": "everyone", "public": True, "masked": False},
        ],
    }
    job.response_file.write_text(json.dumps(members | more))


@pytest.fixture
def history(berth_driver):
    directory = berth_driver.directory / "history"
    berth_driver.settings["History"] = {}
    return directory


@pytest.fixture
def filled(berth_driver, history):
    """Writes the lines of a history."""

    def fill(lines):
        history.mkdir(mode=0o700, exist_ok=True)
        path = history / "jobs.jsonl"
        text = b"".join(
            entry.encode() + b"\n" if isinstance(entry, str) else entry for entry in lines
        )
        path.write_bytes(text)
        path.chmod(0o600)

    return fill


def entries(history):
    return [json.loads(text) for text in (history / "jobs.jsonl").read_text().splitlines()]


def shown(driver, *words):
    done = driver.run(*words, env=driver.environment(TZ="UTC"))
    assert done.returncode == 0, done.stderr
    return done.stdout.decode(), done.stderr


def private(path):
    return stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_a_job_leaves_one_line(job, history):
    response(job)
    before = int(time.time())
    job.prepare()
    assert job.run("true", "get_sources").returncode == 0
    assert job.run("echo 12345; exit 42").returncode == BUILD_FAILURE
    assert job.run("true", "after_script").returncode == 0
    assert not (history / "jobs.jsonl").exists()
    assert job.stage("cleanup").returncode == 0
    (entry,) = entries(history)
    task = entry.pop("task")
    assert re.fullmatch(r"local-\d+", task) and re.fullmatch(r"job-4711-[0-9a-f]{16}", entry["key"])
    assert before <= entry["started_at"] <= entry["ended_at"] <= time.time()
    wanted = {
        "v": 1,
        "job": 4711,
        "name": "unit tests",
        "project": "group/proj",
        "ref": "main",
        "url": "https://gitlab.example.com/group/proj/-/jobs/4711",
        "backend": "local",
        "image": "$CI_REGISTRY_IMAGE/build:1",
        "result": "failed",
        "exit_code": 42,
        "failure": "script",
        "reason": "stage 'build_script' exited with code 42",
        "output_bytes": 6,
    }
    assert {name: entry.get(name) for name in wanted} == wanted
    assert 0 < entry["start"]["started"] <= entry["start_seconds"] <= 60
    assert entry["run_seconds"] > 0 and "cost" not in entry
    assert set(entry) <= documented("history")
    stages = [(stage["stage"], stage["result"]) for stage in entry["stages"]]
    assert stages == [
        ("prepare", "success"),
        ("get_sources", "success"),
        ("build_script", "script_failure"),
        ("after_script", "success"),
    ]
    assert sorted(path.name for path in history.iterdir()) == ["jobs.jsonl", "totals.json"]
    assert all(map(private, [history, *history.iterdir()]))
    # A second cleanup of the same job adds none.
    assert job.stage("cleanup").returncode == 0 and len(entries(history)) == 1


def test_no_secret_and_no_value_of_a_variable(job, history):
    response(job)
    job.env |= {
        "CUSTOM_ENV_PASSWORD": SECRET,
        "CUSTOM_ENV_CI_REGISTRY_IMAGE": "reg.example/secret-path",
    }
    job.driver.settings["Backend"] = f"lokal-{SECRET}"  # an error that has the value
    assert job.stage("prepare").returncode == BUILD_FAILURE
    job.driver.settings["Backend"] = "local"
    job.prepare()
    assert job.run(f"echo {SECRET}; exit 1").returncode == BUILD_FAILURE
    notes = b"".join(path.read_bytes() for path in history.iterdir())
    assert job.stage("cleanup").returncode == 0
    everything = notes + b"".join(path.read_bytes() for path in history.iterdir())
    for secret in (SECRET, job.token, "reg.example", "everyone"):
        assert secret.encode() not in everything
    assert b"[masked]" in notes


@pytest.mark.parametrize(
    "url, project, shown_url",
    [
        ("https://u:p@host:8443/a/b/c.git", "a/b/c", "https://host:8443/a/b/c/-/jobs/4711"),
        ("http://u:p@x@host/a/b", "a/b", "http://host/a/b/-/jobs/4711"),
        ("git@host:a/b.git", "proj", None),
        ("javascript://x/%0aalert(1)", "proj", None),
        ("https://host", "proj", None),
        ("", "proj", None),
    ],
)
def test_project_and_url(job, history, url, project, shown_url):
    response(job, git_info={"repo_url": url, "ref": RUDE})
    job.prepare()
    assert job.stage("cleanup").returncode == 0
    (entry,) = entries(history)
    assert entry["project"] == project and entry.get("url") == shown_url
    assert entry["ref"] == r"</script><script>alert(1)</script>\u202e\x1b[31m"
    assert entry["result"] == "canceled" and entry["reason"] == "it ended before its first script"


def test_a_job_without_response_file_has_no_forged_origin(job, history):
    del job.env["JOB_RESPONSE_FILE"]
    job.env |= {
        "CUSTOM_ENV_CI_PROJECT_PATH": "forged/project",
        "CUSTOM_ENV_CI_JOB_URL": "https://x/",
    }
    job.prepare()
    assert job.stage("cleanup").returncode == 0
    (entry,) = entries(history)
    assert entry["job"] == 4711 and not {"project", "url", "ref", "name"} & set(entry)


def test_a_failed_prepare(job, history):
    response(job)
    job.driver.settings["Local"]["Agent"] = "/nonexistent/berth-agent"
    assert job.stage("prepare").returncode != 0
    assert job.stage("cleanup").returncode == 0
    (entry,) = entries(history)
    assert entry["failure"] == "prepare" and "/nonexistent/berth-agent" in entry["reason"]
    # The runner tries again: the last attempt is the job's.
    del job.driver.settings["Local"]["Agent"]
    job.prepare()
    assert job.run("true").returncode == 0
    assert job.stage("cleanup").returncode == 0
    assert [entry["result"] for entry in entries(history)] == [entry["result"], "success"]
    out, _ = shown(job.driver, "history", "--json")
    assert [json.loads(text)["result"] for text in out.splitlines()] == ["success"]


def test_a_driver_killed_in_mid_stage(job, history, until):
    response(job)
    job.prepare()
    stage = job.start("echo up; sleep 60")
    assert stage.stdout.readline() == b"up\n"
    stage.kill()
    stage.wait()
    assert job.stage("cleanup").returncode == 0
    (entry,) = entries(history)
    assert entry["result"] == "system_failure" and entry["failure"] == "system"
    assert entry["reason"] == "the driver was killed while this stage ran"


@pytest.mark.parametrize(
    "timeout, result",
    [(3600, ("canceled", "canceled")), (5, ("failed", "timeout"))],
    ids=["canceled", "timeout"],
)
def test_a_job_that_was_stopped(job, history, timeout, result):
    response(job, runner_info={"timeout": timeout})
    job.prepare()
    stage = job.start("echo up; sleep 60")
    assert stage.stdout.readline() == b"up\n"
    stage.send_signal(signal.SIGTERM)
    assert stage.wait(60) == BUILD_FAILURE
    assert job.stage("cleanup").returncode == 0
    (entry,) = entries(history)
    assert (entry["result"], entry["failure"]) == result and set(entry) <= documented("history")
    assert entry["timeout"] == timeout
    assert entry["started_at"] <= entry["stages"][-1]["stopped_at"] <= entry["ended_at"]
    out, _ = shown(job.driver, "history", "--failed")
    assert bool(out) == (result[0] == "failed")


def test_a_lost_task(job, history, until):
    response(job)
    job.prepare()
    agent = job.agent_pid()
    os.kill(agent, signal.SIGKILL)
    until(lambda: not alive(agent))
    assert job.run("true").returncode == SYSTEM_FAILURE
    assert job.stage("cleanup").returncode == 0
    (entry,) = entries(history)
    assert (entry["result"], entry["failure"]) == ("system_failure", "system")
    assert entry["reason"].startswith("stage 'build_script': ")


def test_gc_ends_what_no_cleanup_has_ended(job, history):
    response(job)
    job.prepare()
    (path,) = job.driver.metadata.glob("*.json")
    kept = json.loads(path.read_text())
    kept["origin"] |= {"started_at": 1, "timeout": 1}
    path.write_text(json.dumps(kept))
    assert job.driver.run("gc", env=job.driver.environment()).returncode == 0
    assert not (history / "jobs.jsonl").exists()
    # A note alone is left by a job whose prepare died before it had metadata.
    note = history / "job-9-0123456789abcdef.note"
    note.write_text('{"key":"job-9-0123456789abcdef","job":9,"backend":"local"}\n')
    os.utime(note, (1, 1))
    young = history / "job-10-0123456789abcdef.note"
    young.write_text('{"key":"job-10-0123456789abcdef","job":10,"backend":"local"}\n')
    assert job.driver.run("gc", "--stop", env=job.driver.environment()).returncode == 0
    found = {entry["job"]: entry for entry in entries(history)}
    assert sorted(found) == [9, 4711] and young.exists()
    assert all(entry["result"] == entry["failure"] == "lost" for entry in found.values())
    assert found[4711]["project"] == "group/proj" and "gc" in found[4711]["reason"]
    assert json.loads((history / "totals.json").read_text())["backends"]["local"]["results"] == {
        "lost": 2
    }


def test_gc_leaves_the_note_of_a_job_that_runs(job, history):
    """However long it has run without a word."""
    response(job)
    job.prepare()
    (note,) = history.glob("*.note")
    os.utime(note, (1, 1))
    assert job.driver.run("gc", "--stop", env=job.driver.environment()).returncode == 0
    assert note.exists() and not (history / "jobs.jsonl").exists()
    assert job.run("true").returncode == 0
    assert job.stage("cleanup").returncode == 0
    assert [entry["result"] for entry in entries(history)] == ["success"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda history: (history.rmdir() if history.exists() else None, history.write_text("")),
        lambda history: (history.mkdir(), history.chmod(0o777)),
        lambda history: history.symlink_to("/nonexistent/x"),
        lambda history: ((history).mkdir(mode=0o700), os.mkfifo(history / "jobs.jsonl")),
        lambda history: (history.mkdir(mode=0o700), (history / "totals.json").mkdir()),
        lambda history: (
            history.mkdir(mode=0o700),
            (history / "jobs.jsonl").symlink_to("../another"),
        ),
    ],
    ids=["a-file", "writable-by-all", "dangling", "fifo", "totals-is-a-directory", "link"],
)
def test_a_failing_history_fails_no_job(job, history, spoil):
    response(job)
    spoil(history)
    another = history.parent / "another"
    another.write_text("of someone else\n")
    job.prepare()
    done = job.run("echo ran")
    assert (done.returncode, done.stdout) == (0, b"ran\n") and done.stderr == ""
    done = job.stage("cleanup")
    assert done.returncode == 0 and "the history of jobs is not complete: " in done.stderr
    assert another.read_text() == "of someone else\n"


@pytest.mark.parametrize("kept", [True, False], ids=["counters", "line"])
def test_what_a_cleanup_could_not_record_is_not_lost(job, history, kept):
    response(job)
    job.prepare()
    assert job.run("echo ran").returncode == 0
    jobs, totals = history / "jobs.jsonl", history / "totals.json"
    (totals if kept else jobs).mkdir()
    done = job.stage("cleanup")
    assert done.returncode == 0 and "the history of jobs is not complete: " in done.stderr
    (totals if kept else jobs).rmdir()
    assert len(list(history.glob("*.note"))) == (0 if kept else 1)
    for note in history.glob("*.note"):
        os.utime(note, (1, 1))
    assert job.driver.run("gc", "--stop", env=job.driver.environment()).returncode == 0
    (entry,) = entries(history)
    assert (entry["job"], entry["result"]) == (4711, "success")
    assert entry["ended_at"] >= entry["started_at"] and not list(history.glob("*.note"))


def test_switched_off(job, history):
    job.driver.settings["History"] = {"Enabled": False}
    job.prepare()
    assert job.stage("cleanup").returncode == 0 and not history.exists()
    assert "Enabled is false" in shown(job.driver, "history")[1]


def test_another_directory(job, history, tmp_path):
    job.driver.settings["History"] = {"Directory": str(tmp_path / "a" / "b")}
    job.prepare()
    assert job.stage("cleanup").returncode == 0
    assert len(entries(tmp_path / "a" / "b")) == 1 and not history.exists()


def test_full_disk(job, history, filled):
    response(job)
    job.prepare()
    room = 4096 - 200 - len(line(name="")) - 1  # the next line needs a second page
    filled([line(name="x" * room)])
    before = (history / "jobs.jsonl").read_bytes()
    script = f"""
    cp -a {history} {history}.saved &&
    mount -t tmpfs -o size=64k,mode=700 none {history} || exit 99
    cp -a {history}.saved/. {history}/
    cat /dev/zero >{history}/fill 2>/dev/null
    "$@"; code=$?
    cat {history}/jobs.jsonl >{history}.after; exit $code
    """
    done = job.stage("cleanup", before=_in_namespace(f"case $1 in true) ;; *) {script} ;; esac"))
    assert done.returncode == 0, done.stderr
    assert "No space left on device" in done.stderr
    after = (history.parent / "history.after").read_bytes()
    assert after == before  # a line that did not fit whole was taken back
    shutil.rmtree(f"{history}.saved")


def test_a_line_torn_by_a_crash(job, history, filled):
    filled([line(1), b'{"v":1,"ended_at":5,"key":"job-2'])
    job.prepare()
    assert job.stage("cleanup").returncode == 0
    lines = (history / "jobs.jsonl").read_text().splitlines()
    assert len(lines) == 3 and json.loads(lines[2])["job"] == 4711
    out, err = shown(job.driver, "history", "--json")
    assert [json.loads(text)["job"] for text in out.splitlines()] == [4711, 1]
    assert "skipped 1 damaged line of" in err


def test_fifty_writers(berth_driver, history, tmp_path):
    jobs = []
    for number in range(50):
        (tmp_path / f"job-{number}").mkdir()
        jobs.append(Job(berth_driver, tmp_path / f"job-{number}", 100 + number))
    history.mkdir(mode=0o700)
    # Fifty agents would only take time. Each start() would write the configuration again.
    broken = tmp_path / "broken.toml"
    broken.write_text(berth_driver.config().read_text().replace('"local"', '"lokal"', 1))
    words = lambda path, stage: ("--config", path, "custom", stage)  # noqa: E731
    running = [
        berth_driver.start(*words(broken, "prepare"), env=job.env, config=False) for job in jobs
    ]
    assert [process.wait(90) for process in running] == [BUILD_FAILURE] * 50
    assert len(list(history.glob("*.note"))) == 50
    path = berth_driver.config()
    running = [
        berth_driver.start(*words(path, "cleanup"), env=job.env, config=False) for job in jobs
    ]
    assert [process.wait(90) for process in running] == [0] * 50
    assert sorted(entry["job"] for entry in entries(history)) == list(range(100, 150))
    totals = json.loads((history / "totals.json").read_text())
    assert sum(totals["backends"]["none"]["results"].values()) == 50
    assert not list(history.glob("*.note"))


def test_size_and_age_are_bounded(job, history, filled):
    day = 86400
    now = int(time.time())
    filled(
        [line(n, now - 400 * day + n) for n in range(20)]
        + [line(n, now - day) for n in range(20, 40)]
    )
    job.prepare()
    assert job.stage("cleanup").returncode == 0
    assert [entry["job"] for entry in entries(history)] == [*range(20, 40), 4711]
    job.driver.settings["History"] = {"MaxSize": "64KiB"}
    filled([line(n, now - day) for n in range(100)])
    job.prepare()
    assert job.stage("cleanup").returncode == 0
    kept = [entry["job"] for entry in entries(history)]
    assert kept[-1] == 4711 and kept[:-1] == list(range(100 - len(kept) + 1, 100))
    assert 30 << 10 < (history / "jobs.jsonl").stat().st_size <= 48 << 10
    assert [path.name for path in sorted(history.iterdir())] == ["jobs.jsonl", "totals.json"]


def test_a_shorter_history_is_on_the_disk_before_it_has_its_name(job, history, filled, programs):
    if shutil.which("strace") is None or programs.sanitized:
        pytest.skip("needs strace, and the leak checker must trace its own process")
    job.driver.settings["History"] = {"MaxSize": "64KiB"}
    filled([line(n) for n in range(100)])
    job.prepare()
    trace = history.parent / "trace"
    calls = "trace=openat,fsync,fdatasync,renameat,renameat2"
    assert job.stage("cleanup", before=["strace", "-o", trace, "-e", calls]).returncode == 0
    text = trace.read_text()
    opened = re.search(r'openat\(.*"jobs\.jsonl\.new".*\) = (\d+)', text)
    synced = re.compile(rf"f(?:data)?sync\({opened[1]}\) += 0").search(text, opened.end())
    renamed = re.compile(r'rename.*"jobs\.jsonl\.new"').search(text, opened.end())
    assert synced is not None and synced.start() < renamed.start()


RUDE_LINES = [
    b"\n",
    b"{}\n",
    b"[]\n",
    b"null\n",
    b"{\n",
    b'{"key":1,"result":[],"backend":{},"ended_at":"x"}\n',
    b"\x00\xff\xfe\x1b[2J\n",
    b"[" * 50000 + b"\n",
    b'{"v":1,"ended_at":1e999,"key":"k","backend":"b","result":"r"}\n',
    b'{"a":"' + b"x" * (1 << 20) + b'"}\n',
    line(7, key=None).encode() + b"\n",
]


def test_rude_lines_are_skipped(berth_driver, history, filled):
    rude = line(3, project=RUDE, ref=RUDE, image=RUDE, reason=RUDE, name=RUDE, result=RUDE)
    filled([line(1), *RUDE_LINES, line(2), rude, b'{"v":1,"ended_at":5,"key":"to'])
    out, err = shown(berth_driver, "history", "--json")
    assert [json.loads(text)["job"] for text in out.splitlines()] == [3, 2, 1]
    assert json.loads(out.splitlines()[0])["ref"] == RUDE and "\u202e" not in out
    assert (
        f"skipped {len(RUDE_LINES)} damaged lines" in err
    )  # the empty one is none, the torn is one
    out, _ = shown(berth_driver, "history")
    assert len(out.splitlines()) == 4 and "\x1b" not in out and "\u202e" not in out
    assert r"\u202e\x1b[31m" in out


def test_list_and_filters(berth_driver, history, filled):
    now = int(time.time())
    filled(
        [
            line(1, now - 90000, project="group/old"),
            line(2, now - 50, result="failed", exit_code=3, failure="script", reason="it broke"),
            line(3, now - 40, result="canceled", project="group/sub/x"),
            line(4, now - 30, result="lost", project="other/x"),
        ]
    )
    jobs = lambda *words: [  # noqa: E731
        json.loads(text)["job"]
        for text in shown(berth_driver, "history", "--json", *words)[0].splitlines()
    ]
    assert jobs() == [4, 3, 2, 1]
    assert jobs("--since", "1h") == [4, 3, 2]
    assert jobs("--failed") == [4, 2]
    assert jobs("--project", "group/*") == [2, 1] and jobs("--project", "group/**") == [3, 2, 1]
    assert jobs("--failed", "--project", "*/x", "--since", "1d") == [4]
    out, _ = shown(berth_driver, "history", "--project", "group/project")
    heading, row = out.splitlines()
    assert heading.split() == [
        "JOB", "ENDED", "RESULT", "START", "RUN", "CPU", "MEMORY", "COST", "IMAGE", "PROJECT",
        "REF", "REASON",
    ]  # fmt: skip
    assert re.split(r"  +", row) == [
        "2", time.strftime("%Y-%m-%d %H:%M", time.gmtime(now - 50)), "failed (3)", "24.0s", "1m00s",
        "40.5s", "700/2048 MiB", "0.0123 USD", "node:22", "group/project", "main", "it broke",
    ]  # fmt: skip
    out, err = shown(berth_driver, "history", "--project", "nothing")
    assert out == "" and err == f"no such job in '{history}'\n"
    assert shown(berth_driver, "history", "--since", "1s")[1] == f"no such job in '{history}'\n"
    filled([])
    assert shown(berth_driver, "history") == ("", "no job has ended yet\n")


def test_times(berth_driver, history, filled):
    times = {
        0.04: "0.0s", 59.94: "59.9s", 59.97: "1m00s", 60: "1m00s", 3599.4: "59m59s",
        3599.7: "1h00m", 3600: "1h00m", 5400: "1h30m", 10800: "3h00m", 86399: "23h59m",
        360000: "100h00m",
    }  # fmt: skip
    filled([line(job, run_seconds=seconds) for job, seconds in enumerate(times, 1)])
    rows = shown(berth_driver, "history")[0].splitlines()[1:]
    assert [re.split(r"  +", row)[4] for row in reversed(rows)] == list(times.values())


@pytest.mark.parametrize("form", ["text", "json", "as fargate"])
def test_the_life_of_a_job(job, history, tmp_path, form):
    log = tmp_path / "driver.log"
    if form == "as fargate":
        link = tmp_path / "fargate"
        link.symlink_to(job.driver.program)
        job.driver.program, form = link, "text"
    job.driver.settings |= {"LogFile": str(log), "LogFormat": form}
    response(job)
    job.prepare()
    assert job.run("kill -KILL $$").returncode == BUILD_FAILURE
    assert job.stage("cleanup").returncode == 0
    with log.open("ab") as file:
        file.write(b"2026-01-01T00:00:00.000Z berth-driver[1]: warn: another job\n\xff\x00\n")
    for name in ("4711", entries(history)[0]["key"]):
        out, _ = shown(job.driver, "history", name)
        assert "project   group/proj\n" in out and "result    failed (137)\n" in out
        assert re.search(r"(?m)^build_script +script_failure \(137\) ", out)
        assert "was killed by signal KILL" in out and "another job" not in out
        assert "stage begins" in out
    found = job.driver.run("history", "4712", env=job.driver.environment())
    assert found.returncode == BUILD_FAILURE or found.returncode == 1
    assert "no job '4712'" in found.stderr


def test_the_log_of_a_job_was_rotated(job, history, tmp_path):
    log = tmp_path / "driver.log"
    job.driver.settings |= {"LogFile": str(log)}
    response(job)
    job.prepare()
    assert job.run("exit 3").returncode == BUILD_FAILURE
    begin = log.read_text()
    log.rename(tmp_path / "driver.log.1")
    assert job.stage("cleanup").returncode == 0
    out, err = shown(job.driver, "history", "4711")
    assert out.endswith(begin + log.read_text()) and "stage begins" in out and err == ""
    (tmp_path / "driver.log.1").rename(tmp_path / "driver.log.2")
    log.rename(tmp_path / "driver.log.3")
    for _ in range(2):  # without a file, then with one that has lines of others
        out, err = shown(job.driver, "history", "4711")
        assert "stage begins" not in out and out.startswith("job ")
        assert err.startswith(f"no line of this job in '{log}' or '{log}.1'; ")
        log.write_text("2026-01-01T00:00:00.000Z berth-driver[1]: warn: another job\n")


@pytest.mark.parametrize("kind", ["device", "FIFO"])
def test_a_log_that_cannot_be_read_again_is_left_out(job, history, tmp_path, kind):
    job.prepare()
    assert job.stage("cleanup").returncode == 0
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    paths = {"device": "/dev/null", "FIFO": str(fifo)}
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        job.driver.settings |= {"LogFile": paths[kind]}
        out, _ = shown(job.driver, "history", entries(history)[0]["key"])
    finally:
        os.close(reader)
    assert out.startswith("job       job-4711-")


def test_a_terminal_gets_lines_that_fit(berth_driver, history, filled, tmp_path):
    filled(many(20))
    script = 'stty cols 100; exec "$@"'
    done = subprocess.run(
        [
            "script",
            "-qec",
            f"sh -c '{script}' sh {berth_driver.program} --config {berth_driver.config()} history",
            "/dev/null",
        ],
        env=berth_driver.environment(TERM="xterm"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=True,
    )
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 21 and max(map(len, lines)) <= 100 and "…" in done.stdout.decode()


def test_wide_characters_fit_too(berth_driver, programs, history, filled):
    if programs.sanitized:
        pytest.skip("the C library of this build knows no widths in the locale C; musl does")
    filled([line(1, project="漢字" * 40, reason="e\u0301" * 60), line(2)])
    words = [berth_driver.program, "--config", berth_driver.config(), "history"]
    terminal = Terminal(words, columns=100, env=berth_driver.environment())
    try:
        terminal.wait(60)
        lines = terminal.shown.decode().splitlines()
    finally:
        terminal.close()
    widths = [
        sum(0 if x == "\u0301" else 2 if x in "漢字" else 1 for x in text.rstrip())
        for text in lines
    ]
    assert len(lines) == 3 and 90 < max(widths) <= 100 and lines[2].count("漢") > 3, lines
    assert lines[2].count("\u0301") > 10, lines


@pytest.mark.parametrize("price", [10, 0.001], ids=["usual", "tiny"])
def test_the_price_of_a_job(ecs_job, price):
    job = ecs_job
    job.driver.settings["Price"] = {"VcpuHour": price, "GibHour": price / 9}
    job.prepare()
    done = job.run("true", "cleanup_file_variables")
    assert re.fullmatch(
        (rb"berth: about \d\.\d{4}" if price == 10 else rb"berth: less than 0\.0001")
        + rb" USD \([\d.]+ vCPU, [\d.]+ GB, \d+\.\d min\)\n",
        done.stdout,
    )
    assert job.stage("cleanup").returncode == 0
    (entry,) = entries(job.driver.directory / "history")
    assert entry["currency"] == "USD" and entry["vcpus"] > 0
    assert 0 < entry["cost"] < 1 if price == 10 else entry.get("cost", 0) < 0.0001
    assert entry["backend"] == "ecs" and entry["task"].startswith("arn:aws:ecs:")
    parts = entry["start"]
    assert parts["login"] > 0 and sum(parts.values()) <= entry["start_seconds"] + 0.01
    assert set(entry) <= documented("history")
