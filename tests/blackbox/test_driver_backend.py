# SPDX-License-Identifier: MIT
"""Which backend berth-driver takes: the one that was asked for, never this machine by accident."""

import hashlib
import json
import os
import re
import shutil
import tempfile

import pytest

from support.driver import BUILD_FAILURE, SYSTEM_FAILURE, write_config
from support.mounts import default_config, empty

BY_HAND = 1
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs a mount namespace, so root")

# Files as they stand on a runner's host, each with one mistake; what the driver says about it.
MISTAKES = {
    "misspelt cluster": (
        '[Fargate]\nClutser = "x"\nTaskDefinition = "t"\nSubnet = "s"\n',
        "fargate.toml:2: Fargate.Clutser: unknown key, ignored; did you mean 'Cluster'?",
        "has no [Fargate] Cluster, which ECS requires",
    ),
    "empty cluster": (
        '[Fargate]\nCluster = ""\nTaskDefinition = "t"\nSubnet = "s"\n',
        "",
        "has no [Fargate] Cluster, which ECS requires",
    ),
    "no task definition": (
        '[Fargate]\nCluster = "x"\nSubnet = "s"\n',
        "",
        "has no [Fargate] TaskDefinition, which ECS requires",
    ),
    "misspelt table": (
        '[Fargat]\nCluster = "x"\nTaskDefinition = "t"\nSubnet = "s"\n',
        "fargate.toml:1: Fargat: unknown table, ignored; did you mean 'Fargate'?",
        'sets no backend, and has an unknown key or table; write Backend = "docker"',
    ),
    "misspelt key": (
        'Bakend = "docker"\n[Docker]\nImage = "x"\n',
        "fargate.toml:1: Bakend: unknown key, ignored; did you mean 'Backend'?",
        'sets no backend, and has an unknown key or table; write Backend = "docker"',
    ),
    "misspelt value": (
        'Backend = "dokcer"\n[Docker]\nImage = "x"\n',
        "",
        "fargate.toml:1: Backend: unknown backend 'dokcer'; did you mean 'docker'?",
    ),
    "key below a table": (
        '[TaskMetadata]\nDirectory = "{metadata}"\nBackend = "docker"\n',
        "TaskMetadata.Backend: unknown key, ignored; 'Backend' belongs above the first table",
        "sets no backend; write Backend =",
    ),
    "another backend's table": ('[Docker]\nImage = "x"\n', "", "sets no backend; write Backend ="),
    "no image": ('Backend = "docker"\n', "", "no image is configured"),
    "empty": ("", "", 'sets no backend; write Backend = "docker" (or "ecs" or "local")'),
}
COMMANDS = [("custom", stage) for stage in ("config", "prepare", "run", "cleanup")]
COMMANDS += [("ps",), ("gc",), ("doctor",)]


def in_runner(driver, **more):
    return driver.environment(
        BUILD_FAILURE_EXIT_CODE=str(BUILD_FAILURE),
        SYSTEM_FAILURE_EXIT_CODE=str(SYSTEM_FAILURE),
        CUSTOM_ENV_CI_JOB_ID="1",
        **more,
    )


def with_words(command, directory):
    if command[-1] != "run":
        return command
    script = directory / "script"
    script.write_text(f"touch {directory}/ran\n")
    return (*command, script, "build_script")


def reported(done):
    return done.stderr + (done.stdout or b"").decode()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_never_ends_on_this_machine(berth_driver, tmp_path, mistake, command):
    text, warning, error = MISTAKES[mistake]
    path = tmp_path / "fargate.toml"
    path.write_text(text.replace("{metadata}", str(berth_driver.metadata)))
    env = in_runner(berth_driver)
    words = ("--config", path, *with_words(command, tmp_path))
    done = berth_driver.run(*words, config=False, env=env)
    if command[-1] == "run" and done.returncode == SYSTEM_FAILURE:
        # Its backend would be that of the job's metadata.
        assert "this job's 'prepare' failed" in done.stderr
        assert not (tmp_path / "ran").exists()
        return
    if command[-1] == "cleanup" and done.returncode == 0:
        # There is nothing to end, in the place where its backend would have noted it.
        assert "sets no backend" not in error and warning in done.stderr
        return
    assert done.returncode == (BUILD_FAILURE if command[0] == "custom" else 1), reported(done)
    shown = reported(done).replace("\n        -> ", "; ")
    assert warning in shown and error in shown, shown
    if command == ("doctor",):
        assert shown.count("FAIL") >= (2 if warning else 1), shown


def test_each_stage_without_any_file(berth_driver, tmp_path):
    """Not even one that this machine happens to have."""
    for command in COMMANDS:
        done = berth_driver.run(
            *with_words(command, tmp_path),
            config=False,
            before=default_config(),
            env=in_runner(berth_driver),
        )
        wanted = BUILD_FAILURE if command[0] == "custom" else 1
        assert done.returncode == wanted, reported(done)
        assert "no backend: no --config" in reported(done)
        assert "--config" in reported(done) and "berth-driver init" in reported(done)
    assert not (tmp_path / "ran").exists()


@ROOT_ONLY
@pytest.mark.parametrize(
    "text, line",
    [
        ("", "backend 'local', settings of {path}"),
        (None, "backend 'local', no configuration file"),
        ('Backend = "local"\n', "backend 'local', settings of {path}"),
    ],
)
def test_exec_says_what_it_took(berth_driver, tmp_path, text, line):
    path = tmp_path / "fargate.toml"
    named = ()
    if text is not None:
        path.write_text(text)
        named = ("--config", path)
    before = [*empty("/var/lib"), *default_config()]
    done = berth_driver.run(*named, "exec", "echo hello", config=False, before=before)
    assert done.returncode == 0 and done.stdout == b"hello\n", done.stderr
    first = done.stderr.splitlines()[0]
    assert first.endswith("berth-driver: " + line.replace("{path}", str(path))), done.stderr


@pytest.mark.parametrize("mistake", ["misspelt table", "misspelt key", "misspelt value"])
def test_exec_takes_no_misspelt_file_for_this_machine(berth_driver, tmp_path, mistake):
    text, warning, error = MISTAKES[mistake]
    path = tmp_path / "fargate.toml"
    path.write_text(text)
    done = berth_driver.run("--config", path, "exec", f"touch {tmp_path}/ran", config=False)
    assert done.returncode == 255 and warning in done.stderr and error in done.stderr
    assert not (tmp_path / "ran").exists()


def test_exec_says_so_before_it_costs(ecs_job, cloud):
    cloud.image = "agent"
    done = ecs_job.driver.run("exec", "echo hello", env=ecs_job.env)
    assert done.returncode == 0 and done.stdout == b"hello\n", done.stderr
    lines = done.stderr.splitlines()
    assert re.search(r"berth-driver: backend 'ecs', settings of /.*/fargate.toml$", lines[0])
    ecs_job.fargate["Cluster"] = "no-such-cluster"
    done = ecs_job.driver.run("exec", "true", env=ecs_job.env)
    assert done.returncode == 255 and "backend 'ecs', settings of" in done.stderr.splitlines()[0]


@ROOT_ONLY
@pytest.mark.parametrize("who", ["--config", "BERTH_CONFIG", "default"])
def test_where_the_settings_come_from(berth_driver, tmp_path, who):
    """Each of the three over those behind it, as the place of the metadata shows."""
    order = ["--config", "BERTH_CONFIG", "default"]
    files = {}
    for name in order[order.index(who) :]:
        local = str(tmp_path / name.strip("-"))
        files[name] = write_config(
            tmp_path / f"{name.strip('-')}.toml",
            {"Backend": "local", "Local": {"Directory": local}},
        )
    env = in_runner(berth_driver)
    words = ["--config", files["--config"]] if "--config" in files else []
    if "BERTH_CONFIG" in files:
        env["BERTH_CONFIG"] = str(files["BERTH_CONFIG"])
    before = default_config(files["default"])
    done = berth_driver.run(*words, "custom", "config", config=False, before=before, env=env)
    assert done.returncode == 0, done.stderr
    builds = json.loads(done.stdout)["builds_dir"]
    assert builds.startswith(f"{tmp_path}/{who.strip('-')}/job-1-"), builds


@ROOT_ONLY
def test_a_default_file_that_cannot_be_read(berth_driver, tmp_path):
    """A file that the user cannot read is treated as missing."""
    file = write_config(tmp_path / "x.toml", {"Backend": "local"})
    nobody = ["setpriv", "--reuid=64321", "--regid=64321", "--clear-groups"]
    with tempfile.TemporaryDirectory(prefix="berth-test-") as home:
        os.chmod(home, 0o755)
        berth_driver.program = shutil.copy(berth_driver.program, home)
        done = berth_driver.run(
            "ps",
            config=False,
            before=[*default_config(file, mode=0o600), *nobody],
            env=berth_driver.environment(HOME=home),
        )
    message = "'/etc/gitlab-runner/fargate.toml' cannot be read"
    assert done.returncode == BY_HAND and message in done.stderr, done.stderr


@ROOT_ONLY
def test_init_replaces_a_broken_default_file(berth_driver, tmp_path):
    file = tmp_path / "x.toml"
    file.write_text("Backend = \n")
    answers = f"local\n{tmp_path}/local\n{tmp_path}/metadata\n".encode()
    done = berth_driver.run(
        "init", "--force", config=False, before=default_config(file), input=answers
    )
    assert done.returncode == 0, done.stderr


# --- options


EXEC = ("exec", "true")
PREPARE = ("custom", "prepare")


@pytest.mark.parametrize(
    "backend, words, message",
    [
        (backend, (*option, *command), f"--{name} is for the backend 'docker'")
        for backend in ("local", "ecs")
        for command in (EXEC, PREPARE, ("doctor",))
        for name, option in {
            "env": ("-e", "A=b"),
            "user": ("-u", "nobody"),
            "volume": ("-v", "/a:/b"),
            "image": ("--image", "busybox"),
            "workdir": ("-w", "/"),
            "no-mount": ("--no-mount",),
        }.items()
        if command == EXEC or name not in ("workdir", "no-mount")
    ]
    + [
        (backend, (f"--{name}=x", *command), f"--{name} is for the backend 'ecs'")
        for backend in ("local", "docker")
        for command in (EXEC, PREPARE, ("doctor",))
        for name in ("task-def", "platform-version")
    ],
)
def test_an_option_of_another_backend(berth_driver, backend, words, message):
    words = ("--backend", backend, *words)
    done = berth_driver.run(*words, env=in_runner(berth_driver))
    assert done.returncode == (BUILD_FAILURE if "custom" in words else 2), reported(done)
    assert message in done.stderr and f"not '{backend}'" in done.stderr
    assert done.stdout == b""


TASK_OPTIONS = {
    "image": ("--image", "x"),
    "env": ("-e", "A=b"),
    "user": ("-u", "x"),
    "volume": ("-v", "/a:/b"),
    "task-def": ("--task-def", "x"),
    "platform-version": ("--platform-version", "x"),
}
EXEC_OPTIONS = {"workdir": ("-w", "/"), "no-mount": ("--no-mount",)}
OTHERS = {
    "stop": ("--stop",),
    "task-definitions": ("--task-definitions",),
    "force": ("--force",),
    "policy": ("--policy",),
    "json": ("--json",),
    "quiet": ("--quiet",),
    "watch": ("--watch",),
    "drain": ("--drain",),
    "since": ("--since", "1d"),
    "project": ("--project", "a/b"),
    "failed": ("--failed",),
    "output": ("--output", "out"),
    "container": ("--container", "job"),
    "helper": ("--helper",),
    "runner-version": ("--runner-version", "19.4.0"),
}
TAKEN = {
    ("custom", "config"): set(),
    ("custom", "prepare"): set(TASK_OPTIONS),
    ("custom", "run"): set(),
    ("custom", "cleanup"): set(),
    ("exec",): {*TASK_OPTIONS, *EXEC_OPTIONS},
    ("ssh",): {"container"},
    ("ps",): {"json", "quiet", "watch"},
    ("gc",): {"stop", "task-definitions", "json"},
    ("warm",): {"watch", "drain"},
    ("logs",): set(),
    ("history",): {"since", "project", "failed", "json"},
    ("report",): {"since", "output"},
    ("metrics",): {"output"},
    ("push-agent",): {"policy", "helper", "runner-version"},
    ("init",): {"force"},
    ("doctor",): {*TASK_OPTIONS, "policy", "json"},
}


@pytest.mark.parametrize("command", TAKEN, ids=" ".join)
def test_an_option_of_another_command(berth_driver, command):
    for name, words in {**TASK_OPTIONS, **EXEC_OPTIONS, **OTHERS}.items():
        if name in TAKEN[command]:
            continue
        needed = {"exec": ("true",), "ssh": ("4711",), "logs": ("4711",)}.get(command[-1], ())
        done = berth_driver.run(*words, *command, *needed, env=in_runner(berth_driver))
        assert f"--{name} does not apply to '{' '.join(command)}'; try --help" in done.stderr
        wanted = BUILD_FAILURE if command[0] == "custom" else 2
        assert done.returncode == wanted and done.stdout == b"", name


@pytest.mark.parametrize(
    "words, hint",
    [
        (["--congif", "x"], "did you mean '--config'?"),
        (["--log_level=debug"], "did you mean '--log-level'?"),
        (["-debgu"], "did you mean '--debug'?"),
        (["pss"], "unknown command 'pss'; did you mean 'ps'?"),
        (["doktor"], "did you mean 'doctor'?"),
        (["cusotm", "run"], "did you mean 'custom'?"),
        (["custom", "perpare"], "unknown command 'custom perpare'; did you mean 'custom prepare'?"),
        (["prepare"], "unknown command 'prepare'; did you mean 'custom prepare'?"),
        (["run", "x"], "unknown command 'run'; did you mean 'exec'?"),
        (["ls"], "did you mean 'ps'?"),
        (["metrics", "--out", "x"], "unknown option '--out'; did you mean '--output'?"),
        (["hist"], "did you mean 'history'?"),
        (["--log-level", "wran", "ps"], "did you mean 'warn'?"),
        (["--log-format", "jsn", "ps"], "did you mean 'json'?"),
        (["--backend", "dcoker", "ps"], "did you mean 'docker'?"),
    ],
)
def test_a_misspelt_word_of_the_command_line(berth_driver, words, hint):
    done = berth_driver.run(*words, config=False)
    assert done.returncode != 0 and hint in done.stderr, done.stderr


# --- what a job asks for and does not get


def response(job, **more):
    text = json.loads(job.response_file.read_text())
    job.response_file.write_text(json.dumps({**text, **more}))


@pytest.mark.parametrize(
    "image, services, reported",
    [
        (None, None, None),
        ({"name": ""}, [], None),
        ({"name": "ruby:3.3"}, None, "'image: ruby:3.3'"),
        (None, [{"name": "postgres:16"}], "1 'services:'"),
        ({"name": "a"}, [{"name": "b"}, {"name": "c"}], "'image: a' and 2 'services:'"),
    ],
)
@pytest.mark.parametrize("source", ["response", "variables"])
def test_keywords_that_the_backend_ignores(job, image, services, reported, source):
    if source == "response":
        # What a job variable says is not what GitLab sent.
        job.env["CUSTOM_ENV_CI_JOB_IMAGE"] = "another"
        response(job, image=image, services=services)
    else:
        del job.env["JOB_RESPONSE_FILE"]
        job.env["CUSTOM_ENV_CI_JOB_IMAGE"] = (image or {}).get("name", "")
        job.env["CUSTOM_ENV_CI_JOB_SERVICES"] = json.dumps(services or [])
    done = job.stage("prepare")
    assert done.returncode == 0
    if reported is None:
        assert "ignores" not in done.stderr
    else:
        assert (
            f"berth: warning: the backend 'local' ignores {reported} of this job\n" in done.stderr
        )
        assert done.stderr.count("ignores") == 1
    assert "ignores" not in job.run("true\n").stderr
    assert job.stage("cleanup").returncode == 0


def test_keywords_on_ecs(ecs_job, cloud):
    cloud.image = "agent"
    response(ecs_job, image={"name": "ruby:3.3"})
    done = ecs_job.stage("prepare")
    assert done.returncode == 0
    assert "the backend 'ecs' ignores 'image: ruby:3.3' of this job" in done.stderr


# --- tasks of GitLab's own driver


def old_metadata(job, token="abcd1234", project="https://gitlab.example/g/p", pipeline="815"):
    """As that driver writes it while 'prepare' runs; returns the path."""
    job.env |= {
        "CUSTOM_ENV_CI_RUNNER_SHORT_TOKEN": token,
        "CUSTOM_ENV_CI_PROJECT_URL": project,
        "CUSTOM_ENV_CI_PIPELINE_ID": pipeline,
    }
    name = hashlib.sha256(f"{project}-{pipeline}-4711".encode()).hexdigest()
    job.driver.metadata.mkdir(mode=0o700, exist_ok=True)
    path = job.driver.metadata / f"{token}-{name}.json"
    data = {"TaskARN": ARN, "ContainerIP": "10.0.0.1", "PrivateKey": "c2VjcmV0"}
    path.write_text(json.dumps(data))
    return path


ARN = "arn:aws:ecs:eu-west-1:123456789012:task/runner/0123456789abcdef0123456789abcdef"


def test_cleanup_finds_the_other_drivers_task(job):
    path = old_metadata(job)
    done = job.stage("cleanup")
    assert done.returncode == SYSTEM_FAILURE
    assert "GitLab's Fargate driver launched the task of this job" in done.stderr
    assert str(path) in done.stderr and ARN in done.stderr and "c2VjcmV0" not in done.stderr
    assert path.exists(), "it is that driver's"
    path.write_text("{")
    done = job.stage("cleanup")
    assert done.returncode == SYSTEM_FAILURE and str(path) in done.stderr
    path.unlink()


def test_cleanup_of_an_own_task_looks_at_no_other(job):
    path = old_metadata(job)
    job.prepare()
    assert job.stage("cleanup").returncode == 0
    path.unlink()


def test_a_token_is_no_path(job, tmp_path):
    path = old_metadata(job)
    path = path.rename(tmp_path / path.name)
    job.env["CUSTOM_ENV_CI_RUNNER_SHORT_TOKEN"] = "../abcd1234"
    assert job.stage("cleanup").returncode == 0
