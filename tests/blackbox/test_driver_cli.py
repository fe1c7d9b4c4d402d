# SPDX-License-Identifier: MIT
"""The command line and the configuration of berth-driver: what it says and how it exits."""

import os
import re

import pytest

from support.driver import BUILD_FAILURE

STAGES = ["config", "prepare", "run", "cleanup"]


def in_runner(berth_driver):
    return berth_driver.environment(
        BUILD_FAILURE_EXIT_CODE="70", SYSTEM_FAILURE_EXIT_CODE="71", CUSTOM_ENV_CI_JOB_ID="1"
    )


def one_line(text):
    return text.count("\n") == 1 and text.endswith("\n")


@pytest.mark.parametrize(
    "words",
    [["--help"], ["custom", "--help"], ["exec", "-h"]]
    + [["custom", stage, "--help"] for stage in STAGES],
)
def test_help_goes_to_stdout(berth_driver, words):
    done = berth_driver.run(*words, config=False)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(b"Usage: berth-driver") and b"--config PATH" in done.stdout


@pytest.mark.parametrize(
    "words,own",
    [
        (["custom", "config"], []),
        (["custom", "prepare"], ["image", "task-def", "platform-version"]),
        (["custom", "run"], []),
        (["exec"], ["image", "task-def", "platform-version", "workdir", "no-mount"]),
        (["gc"], ["stop"]),
        (["init"], ["force"]),
        (["doctor"], ["image", "task-def", "platform-version", "policy"]),
        ([], ["image", "task-def", "platform-version", "workdir", "no-mount", "stop", "policy",
              "force"]),
    ],
)  # fmt: skip
def test_help_of_a_command_lists_its_options(berth_driver, words, own):
    shown = berth_driver.run(*words, "--help", config=False).stdout.decode()
    listed = set(re.findall(r"^  (?:-\w, |    )--([\w-]+)", shown, re.MULTILINE))
    common = {
        "config",
        "backend",
        "log-level",
        "debug",
        "log-format",
        "log-file",
        "help",
        "version",
    }
    task = {"volume", "env", "user"} if "image" in own else set()
    assert listed == common | task | set(own)


@pytest.mark.parametrize("word", ["-config", "--config"])
def test_options_behind_one_dash(berth_driver, word):
    """Today's driver is a Go program, which takes both."""
    path = berth_driver.config()
    done = berth_driver.run(
        word, path, "-debug", "custom", "config", config=False, env=in_runner(berth_driver)
    )
    assert done.returncode == 0, done.stderr


def test_local_directory_of_somebody_else(berth_driver):
    berth_driver.local.mkdir(exist_ok=True)
    os.chown(berth_driver.local, 65534, -1)
    done = berth_driver.run("custom", "prepare", env=in_runner(berth_driver))
    assert done.returncode == BUILD_FAILURE and "must be yours" in done.stderr, done.stderr


def test_version_names_the_libraries(berth_driver):
    done = berth_driver.run("--version", config=False)
    assert done.returncode == 0
    for name in (b"berth-driver 0.", b"libssh 0.", b"OpenSSL 3.", b"libsodium 1.", b"cJSON 1."):
        assert name in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["--bogus"],
        ["custom", "--bogus", "config"],
        ["frob"],
        ["custom", "frob"],
        ["custom"],
        [],
        ["--config"],
    ],
)
@pytest.mark.parametrize("runner", [False, True], ids=["by hand", "in a runner"])
def test_a_mistake_is_one_line_with_a_hint(berth_driver, words, runner):
    env = in_runner(berth_driver) if runner else None
    done = berth_driver.run(*words, config=False, env=env)
    assert done.stdout == b"" and one_line(done.stderr), done.stderr
    assert "--help" in done.stderr or "needs a value" in done.stderr
    assert done.returncode == (BUILD_FAILURE if runner else 2)


@pytest.mark.parametrize("group", ["custom", "c"])
@pytest.mark.parametrize("name", ["config", "co"])
@pytest.mark.parametrize("before", [True, False])
def test_aliases_and_options_anywhere(berth_driver, group, name, before):
    option = ["--log-level", "debug"]
    words = option + [group, name] if before else [group] + option + [name] + ["--debug"]
    done = berth_driver.run(*words, env=in_runner(berth_driver))
    assert done.returncode == 0, done.stderr
    assert b'"builds_dir"' in done.stdout


@pytest.mark.parametrize("alias,name", [("p", "prepare"), ("cl", "cleanup"), ("r", "run")])
def test_other_aliases_mean_their_stage(berth_driver, alias, name):
    long = berth_driver.run("custom", name, "--help", config=False)
    assert berth_driver.run("c", alias, "--help", config=False).stdout == long.stdout


@pytest.mark.parametrize(
    "text,message",
    [
        ("LogLevel = \n", "bad.toml:1:"),
        ('\n[SSH]\nPort = "22"\n', "bad.toml:3: SSH.Port: wanted a whole number"),
        ('Backend = "kvm"\n', "backend 'kvm' is not in this version; set Backend to one of"),
        ('Backend = "ecs"\n', "has no [Fargate] Cluster"),
        ('[Fargate]\nCluster = "x"\n', "has no [Fargate] TaskDefinition"),
        ('[SSH]\nHostKey = "never"\n', 'wanted "strict" or "accept-new"'),
        (
            '[Local]\nDirectory = "relative"\n',
            "[Local] Directory 'relative' is not an absolute path",
        ),
        ('[Local]\nAgent = "/nonexistent"\n', "cannot execute [Local] Agent '/nonexistent'"),
        ('LogFile = "/nonexistent/dir/log"\n', "cannot open LogFile '/nonexistent/dir/log'"),
    ],
)
@pytest.mark.parametrize("stage", ["config", "prepare"])
def test_broken_configuration(berth_driver, tmp_path, text, message, stage):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    done = berth_driver.run(
        "--config", path, "custom", stage, config=False, env=in_runner(berth_driver)
    )
    assert done.returncode == BUILD_FAILURE, "a retry of the runner could not help"
    assert message in done.stderr and one_line(done.stderr), done.stderr
    assert done.stdout == b""


def test_cleanup_needs_no_log(berth_driver):
    """Or a full disk would keep tasks running."""
    berth_driver.settings["LogFile"] = "/nonexistent/dir/log"
    done = berth_driver.run("custom", "cleanup", env=in_runner(berth_driver))
    assert done.returncode == 0, done.stderr
    assert "cannot open LogFile '/nonexistent/dir/log'" in done.stderr


def test_a_setting_said_twice(berth_driver, tmp_path):
    path = tmp_path / "twice.toml"
    text = '[Fargate]\nSubnet = "subnet-1"\nRegion = "a"\nSubnets = ["subnet-2"]\nREGION = "b"\n'
    path.write_text('Backend = "local"\n' + text)
    env = in_runner(berth_driver)
    done = berth_driver.run("--config", path, "custom", "config", config=False, env=env)
    assert done.returncode == 0, done.stderr
    for line, key, before in ((5, "Subnets", 3), (6, "REGION", 4)):
        assert (
            f"twice.toml:{line}: Fargate.{key}: counts instead of what line {before} says"
            in done.stderr
        )


def test_missing_configuration(berth_driver, tmp_path):
    missing = tmp_path / "none.toml"
    done = berth_driver.run(
        "--config", missing, "custom", "config", config=False, env=in_runner(berth_driver)
    )
    assert done.returncode == BUILD_FAILURE and str(missing) in done.stderr


def test_configuration_by_environment_and_option_over_it(berth_driver, tmp_path):
    env = in_runner(berth_driver) | {"BERTH_CONFIG": str(tmp_path / "none.toml")}
    assert berth_driver.run("custom", "config", config=False, env=env).returncode == BUILD_FAILURE
    done = berth_driver.run(
        "custom", "config", "--config", berth_driver.config(), config=False, env=env
    )
    assert done.returncode == 0, done.stderr


def test_a_fargate_file_loads_with_only_the_backend_added(berth_driver):
    berth_driver.settings |= {
        "LogLevel": "info",
        "LogFormat": "text",
        "Backend": "local",
        "Bogus": 1,
        "Fargate": {
            "Cluster": "gitlab-runner-dev",
            "Region": "ap-northeast-1",
            "Subnet": "subnet-1",
            "SecurityGroup": "sg-1",
            "TaskDefinition": "a:1",
            "EnablePublicIP": True,
            "UsePublicIP": False,
            "PlatformVersion": "1.4.0",
        },
        "SSH": {"Username": "root", "Port": 22},
    }
    done = berth_driver.run("custom", "config", env=in_runner(berth_driver))
    assert done.returncode == 0
    assert one_line(done.stderr) and "fargate.toml:5: Bogus: unknown key" in done.stderr


def test_log_file_and_format(berth_driver, tmp_path):
    log = tmp_path / "log"
    done = berth_driver.run(
        "custom",
        "prepare",
        "--log-format",
        "json",
        "--log-file",
        log,
        env=berth_driver.environment(),
    )
    assert done.returncode == 1 and done.stderr == ""
    assert '"level":"error"' in log.read_text() and "berth-driver exec" in log.read_text()


def test_unset_exit_codes_warn_and_fall_back(berth_driver):
    env = berth_driver.environment(CUSTOM_ENV_CI_JOB_ID="1")
    done = berth_driver.run("custom", "config", env=env)
    assert done.returncode == 0 and "BUILD_FAILURE_EXIT_CODE" in done.stderr
    assert done.stdout.startswith(b"{")
    assert berth_driver.run("custom", "run", "/nonexistent", "x", env=env).returncode == 2


@pytest.mark.parametrize("name", ["BUILD_FAILURE_EXIT_CODE", "SYSTEM_FAILURE_EXIT_CODE"])
@pytest.mark.parametrize("value", ["x", "0", "256", "-1", "1 "])
def test_exit_codes_that_are_none(berth_driver, name, value):
    done = berth_driver.run("custom", "config", env=in_runner(berth_driver) | {name: value})
    assert done.returncode in (1, BUILD_FAILURE) and one_line(done.stderr)
    assert f"{name} is '{value}'" in done.stderr


def test_wrong_number_of_words(berth_driver, tmp_path):
    for words in ([], ["script"], ["script", "stage", "more"]):
        done = berth_driver.run("custom", "run", *words, env=in_runner(berth_driver))
        assert done.returncode == BUILD_FAILURE and "takes a script file and" in done.stderr
