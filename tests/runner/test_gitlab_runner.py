# SPDX-License-Identifier: MIT
"""The stand-in keeps GitLab Runner's contract: what it asks of a driver, what it makes of it."""

import json
import sys
import threading
from pathlib import Path

import pytest

from runner.gitlab_runner import Runner
from runner.job import Job
from support.waiting import until

FAKE = Path(__file__).with_name("fake_driver.py")
ALL_STAGES = [
    "config",
    "prepare",
    "prepare_script",
    "get_sources",
    "restore_cache",
    "download_artifacts",
    "build_script",
    "after_script",
    "archive_cache",
    "upload_artifacts_on_success",
    "cleanup_file_variables",
    "cleanup",
]


class Setup:
    """One job by the fake driver; run() returns the result, calls what the driver recorded."""

    def __init__(self, directory):
        self.directory = directory
        self.record = directory / "record"
        self.record.mkdir()
        self.log = bytearray()
        self.plan = {
            "config": {
                "stdout": json.dumps(
                    {"builds_dir": str(directory / "builds"), "cache_dir": str(directory / "cache")}
                )
            }
        }

    def runner(self, job=None, **how):
        env = {
            "PATH": "/usr/bin:/bin",
            "FAKE_RECORD": str(self.record),
            "FAKE_PLAN": json.dumps(self.plan),
        }
        how.setdefault("prepare_pause_s", 0.01)
        job = job or Job(script=["true"])
        return Runner(
            [sys.executable, FAKE], job, self.log.extend, env=env, directory=self.directory, **how
        )

    def run(self, job=None, **how):
        return self.runner(job, **how).run()

    @property
    def calls(self):
        return [json.loads(path.read_text()) for path in sorted(self.record.iterdir())]

    @property
    def stages(self):
        return [call["stage"] for call in self.calls]


@pytest.fixture
def setup(tmp_path):
    return Setup(tmp_path)


def full_job(**more):
    return Job(
        script=["mkdir -p a c; date > a/x; date > c/y"],
        after_script=["true"],
        artifacts=["a"],
        cache=["c"],
        artifact_server="file:///nowhere",
        runner_command="true",
        **more,
    )


def test_all_stages_run_in_order(setup):
    result = setup.run(full_job())
    assert result.status == "success", setup.log.decode()
    assert setup.stages == ALL_STAGES


def test_stages_with_nothing_to_do_are_left_out(setup):
    setup.run()
    assert setup.stages == [
        "config",
        "prepare",
        "prepare_script",
        "get_sources",
        "download_artifacts",
        "build_script",
        "cleanup_file_variables",
        "cleanup",
    ]


def test_after_a_failed_script_comes_what_the_runner_does_on_failure(setup):
    result = setup.run(
        Job(
            script=["exit 42"],
            after_script=["echo status=$CI_JOB_STATUS"],
            artifacts=["a"],
            artifacts_when="always",
            artifact_server="file:///nowhere",
            runner_command="true",
        )
    )
    assert (result.status, result.reason, result.exit_code) == ("failed", "script_failure", 42)
    assert setup.stages[-5:] == [
        "build_script",
        "after_script",
        "upload_artifacts_on_failure",
        "cleanup_file_variables",
        "cleanup",
    ]
    assert b"status=failed\n" in setup.log
    assert b"ERROR: Job failed: exit code 42" in setup.log


def test_failed_after_script_changes_nothing(setup):
    result = setup.run(Job(script=["true"], after_script=["exit 3"]))
    assert result.status == "success"
    assert b"after_script failed" in setup.log


def test_failed_sources_skip_script_and_after_script(setup):
    setup.plan["get_sources"] = {"exit": 1, "code": "128\n"}
    result = setup.run(Job(script=["true"], after_script=["true"]))
    assert (result.status, result.exit_code) == ("failed", 128)
    assert "build_script" not in setup.stages
    assert "after_script" not in setup.stages
    assert setup.stages[-1] == "cleanup"


def test_environment_of_every_stage(setup):
    job = Job(
        script=["true"],
        variables={"USER_DEFINED": "two\nlines"},
        image="ruby:3.3",
        services=[{"name": "postgres:16", "alias": "db"}],
    )
    setup.plan["config"]["stdout"] = json.dumps(
        {"builds_dir": "/somewhere", "cache_dir": "/c", "job_env": {"FROM_CONFIG": "1"}}
    )
    setup.plan.update(
        {stage: {"exit": 0} for stage in ("get_sources", "download_artifacts", "build_script")}
    )
    setup.run(job)
    for call in setup.calls:
        env = call["env"]
        assert env["BUILD_FAILURE_EXIT_CODE"] == "1"
        assert env["SYSTEM_FAILURE_EXIT_CODE"] == "2"
        assert env["BUILD_EXIT_CODE_FILE"].startswith(env["TMPDIR"])
        assert env["CUSTOM_ENV_USER_DEFINED"] == "two\nlines"
        assert env["CUSTOM_ENV_CI_JOB_ID"] == "4711"
        assert env["CUSTOM_ENV_CI_JOB_IMAGE"] == "ruby:3.3"
        assert json.loads(env["CUSTOM_ENV_CI_JOB_SERVICES"])[0]["alias"] == "db"
        assert "USER_DEFINED" not in env
        assert call["own_group"] and call["tmpdir_exists"]
        assert call["response_mode"] == 0o600
        assert call["response"]["id"] == 4711
    before, after = setup.calls[0]["env"], setup.calls[1]["env"]
    assert "FROM_CONFIG" not in before and after["FROM_CONFIG"] == "1"
    assert before["CUSTOM_ENV_CI_PROJECT_DIR"] == "/builds/group/project"
    assert after["CUSTOM_ENV_CI_PROJECT_DIR"] == "/somewhere/group/project"


def test_prepare_is_tried_three_times_with_cleanup_after_each(setup):
    setup.plan["prepare"] = {"exit": 2}
    result = setup.run()
    assert setup.stages == ["config", "prepare", "cleanup"] * 3
    assert (result.status, result.reason) == ("failed", "runner_system_failure")
    directories = [call["env"]["TMPDIR"] for call in setup.calls]
    assert len(set(directories)) == 3 and directories[0] == directories[2]


def test_prepare_that_works_the_second_time(setup):
    setup.plan["prepare"] = {"exit": 2, "times": 1}
    assert setup.run().status == "success"
    assert setup.stages.count("prepare") == 2


def test_build_failure_in_prepare_is_not_retried(setup):
    setup.plan["prepare"] = {"exit": 1}
    result = setup.run()
    assert setup.stages == ["config", "prepare", "cleanup"]
    assert result.reason == "script_failure"


def test_config_that_is_no_json_is_a_system_failure(setup):
    setup.plan["config"] = {"stdout": "Hello {"}
    result = setup.run()
    assert result.reason == "runner_system_failure"
    assert "prepare" not in setup.stages


@pytest.mark.parametrize(
    ("name", "plan", "reason", "exit_code"),
    [
        ("code in the file", {"exit": 1, "code": "42\n"}, "script_failure", 42),
        ("no newline", {"exit": 1, "code": "7"}, "script_failure", 7),
        ("only the first line counts", {"exit": 1, "code": "3\n9\n"}, "script_failure", 3),
        ("no file", {"exit": 1}, "script_failure", 1),
        ("no number", {"exit": 1, "code": "forty-two\n"}, "script_failure", 1),
        ("system failure", {"exit": 2}, "runner_system_failure", None),
        (
            "system failure with a stray file",
            {"exit": 2, "code": "42\n"},
            "runner_system_failure",
            None,
        ),
        ("unknown exit status", {"exit": 42}, "unknown_failure", None),
        ("killed by a signal", {"exit": -9}, "unknown_failure", None),
    ],
)
def test_what_an_exit_status_means(setup, name, plan, reason, exit_code):
    setup.plan["build_script"] = plan
    result = setup.run()
    assert (result.status, result.reason, result.exit_code) == ("failed", reason, exit_code), name


def test_a_code_of_an_earlier_stage_does_not_count(setup):
    setup.plan["get_sources"] = {"exit": 0, "code": "42\n"}
    setup.plan["build_script"] = {"exit": 1}
    assert setup.run().exit_code == 1


def wait_for_stage(setup, stage):
    until(
        lambda: any(f'"stage": "{stage}"' in path.read_text() for path in setup.record.iterdir()),
        60,
        stage,
    )


@pytest.mark.parametrize("ignore_term", [False, True], ids=["obeys TERM", "ignores TERM"])
def test_cancel_ends_the_stage_by_term_then_kill(setup, ignore_term):
    setup.plan["build_script"] = {"sleep": 60, "ignore_term": ignore_term}
    # KILL is delivered before a TERM that has come just before it.
    runner = setup.runner(graceful_kill_timeout_s=0.3 if ignore_term else 60)
    results = []
    thread = threading.Thread(target=lambda: results.append(runner.run()))
    thread.start()
    wait_for_stage(setup, "build_script")
    runner.cancel()
    thread.join(60)
    assert results[0].status == "canceled"
    assert results[0].phase("step_script").exit_code == (-9 if ignore_term else -15)
    assert setup.stages[-1] == "cleanup"


def test_a_job_that_takes_too_long_is_stopped(setup):
    setup.plan["build_script"] = {"sleep": 60}
    result = setup.run(Job(script=["true"], timeout_s=3.0), graceful_kill_timeout_s=5)
    assert (result.status, result.reason) == ("failed", "job_execution_timeout")
    assert setup.stages[-1] == "cleanup"


def test_output_of_cleanup_is_not_in_the_job_log(setup):
    setup.plan["cleanup"] = {"stdout": "for the runner only", "exit": 2}
    result = setup.run()
    assert result.status == "success"
    assert b"for the runner only" not in setup.log
    assert "debug: for the runner only" in result.runner_log
    assert any(line.startswith("warn: Cleanup script failed") for line in result.runner_log)


def test_file_variables_are_files_until_the_end(setup):
    job = Job(
        script=['test "$(cat "$SECRET_FILE")" = content && echo "file is there"'],
        file_variables={"SECRET_FILE": "content"},
    )
    assert setup.run(job).status == "success"
    assert b"file is there\n" in setup.log
    assert not list(setup.directory.glob("builds/**/SECRET_FILE"))
