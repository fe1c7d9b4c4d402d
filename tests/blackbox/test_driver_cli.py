# SPDX-License-Identifier: MIT
"""The command line and the configuration of berth-driver: output and exit status."""

import os
import re
import signal
import socket
import subprocess

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
    [["--help"], ["custom", "--help"], ["exec", "-h"], ["help"], ["h"], ["custom"], ["c"]]
    + [["custom", "help"], ["help", "exec"], ["help", "custom", "run"], ["custom", "help", "run"]]
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
        (["gc"], ["stop", "task-definitions", "json"]),
        (["ps"], ["watch", "quiet", "json"]),
        (["history"], ["since", "project", "failed", "json"]),
        (["report"], ["since", "output"]),
        (["metrics"], ["output"]),
        (["push-agent"], ["policy", "helper", "runner-version"]),
        (["ssh"], ["container"]),
        (["warm"], ["watch", "drain"]),
        (["init"], ["force"]),
        (["doctor"], ["image", "task-def", "platform-version", "policy", "json"]),
        ([], ["image", "task-def", "platform-version", "workdir", "no-mount", "stop", "policy",
              "force", "container", "task-definitions", "helper",
              "runner-version", "since", "project", "failed", "output", "json", "watch", "quiet",
              "drain"]),
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


def test_help_of_the_given_command(berth_driver):
    def shown(*words):
        return berth_driver.run(*words, config=False).stdout

    assert shown("help") == shown("--help")
    assert shown("custom") == shown("custom", "help") == shown("custom", "--help")
    assert shown("help", "exec") == shown("exec", "--help")
    assert shown("custom", "help", "run") == shown("help", "c", "r") == shown("c", "run", "-h")


def test_letter_v_is_version_alone_and_volume_otherwise(berth_driver):
    done = berth_driver.run("exec", "-v", config=False)
    assert done.returncode != 0 and "option '--volume' needs a value" in done.stderr


@pytest.mark.parametrize("word", ["-config", "--config"])
def test_long_options_with_one_dash(berth_driver, word):
    """The Fargate driver, a Go program, accepts both."""
    path = berth_driver.config()
    done = berth_driver.run(
        word, path, "-debug", "custom", "config", config=False, env=in_runner(berth_driver)
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("word", ["--version", "-V", "-version", "-v", "version"])
def test_version_names_the_libraries(berth_driver, word):
    done = berth_driver.run(word, config=False)
    assert done.returncode == 0
    for name in (b"berth-driver 0.", b"libssh 0.", b"OpenSSL 3.", b"libsodium 1.", b"cJSON 1."):
        assert name in done.stdout
    first = done.stdout.decode().splitlines()[0]
    assert re.search(
        r"\((unknown commit|commit [0-9a-f]{12}(-modified)?, \d{4}-\d\d-\d\d)\)$", first
    )


@pytest.mark.parametrize(
    "words",
    [
        ["--bogus"],
        ["custom", "--bogus", "config"],
        ["frob"],
        ["custom", "frob"],
        [],
        ["help", "frob"],
        ["--config"],
    ],
)
@pytest.mark.parametrize("runner", [False, True], ids=["manually", "in a runner"])
def test_errors_are_one_line_with_a_hint(berth_driver, words, runner):
    env = in_runner(berth_driver) if runner else None
    done = berth_driver.run(*words, config=False, env=env)
    assert done.stdout == b"" and one_line(done.stderr), done.stderr
    assert "--help" in done.stderr or "needs a value" in done.stderr
    assert done.returncode == (BUILD_FAILURE if runner else 2)


@pytest.mark.parametrize("words", [["custom"], ["--config", "x", "c"], ["custom", "--help"]])
def test_gitlab_runner_does_not_take_the_help_for_a_stage(berth_driver, words):
    done = berth_driver.run(*words, config=False, env=in_runner(berth_driver))
    assert done.returncode == BUILD_FAILURE and done.stdout == b""
    assert "'custom' needs a stage; add config, prepare" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["ps", "--backend", "dokcer"],
        ["ps", "--log-level", "loud"],
        ["gc", "--log-format", "xml"],
        ["exec", "--backend", "kvm", "--", "true"],
        ["exec", "--image", "no such", "--", "true"],
        ["ssh", "--container", "service", "4711"],
        ["warm", "--watch", "--drain"],
        ["metrics", "-o", "/dev/null"],
        ["version", "-V", "x"],
    ],
)
def test_a_wrong_value_of_an_option_is_a_wrong_command_line(job, berth_driver, words):
    if words[0] == "ssh":
        job.prepare()
    done = berth_driver.run(*words, env=job.env if words[0] == "ssh" else None)
    assert done.returncode == 2 and words[2] in done.stderr, done.stderr


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
        ('Backend = "kvm"\n', "bad.toml:1: Backend: unknown backend 'kvm'; use 'docker', 'ecs'"),
        ('Backend = "ecs"\n', "has no [Fargate] Cluster"),
        ('[Fargate]\nCluster = "x"\n', "has no [Fargate] TaskDefinition"),
        ('[SSH]\nHostKey = "never"\n', 'wanted "strict" or "accept-new"'),
        (
            'Backend = "local"\n[Local]\nDirectory = "relative"\n',
            "bad.toml:3: Local.Directory: 'relative' is not an absolute path",
        ),
        (
            'Backend = "local"\n[Local]\nAgent = "/nonexistent"\n',
            "bad.toml:3: Local.Agent: cannot execute '/nonexistent'",
        ),
        *[
            (
                f'Backend = "docker"\n[Docker]\nImage = "x"\n{key} = {value}\n',
                f"bad.toml:4: Docker.{key}: {wanted}",
            )
            for key, value, wanted in [
                ("Labels", '["a=b", "c"]', "'c' is not NAME=VALUE"),
                ("Environment", '["BERTH_X=1"]', "'BERTH_X' cannot be the name of"),
                ("Network", '"host"', "'host' gives containers no address"),
                ("Volumes", '["/tmp"]', "volume '/tmp' has no ':'; use FROM:TO"),
                ("Agent", '"/nonexistent"', "cannot read '/nonexistent'"),
            ]
        ],
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


@pytest.mark.parametrize(
    "value, wanted",
    [
        ("ssh://host", "Docker's address 'ssh://host' is neither unix://PATH nor tcp://HOST:PORT"),
        ("tcp://:1", "Docker's address 'tcp://:1' is not tcp://HOST:PORT"),
        ("unix://socket", "Docker's socket 'socket' is not an absolute path"),
    ],
)
@pytest.mark.parametrize("named", ["key", "variable"])
def test_where_the_address_of_an_engine_is_from(berth_driver, tmp_path, value, wanted, named):
    path = tmp_path / "bad.toml"
    key = f'Host = "{value}"\n' if named == "key" else ""
    path.write_text(f'Backend = "docker"\n[Docker]\nImage = "x"\n{key}')
    env = in_runner(berth_driver) | ({} if named == "key" else {"DOCKER_HOST": value})
    done = berth_driver.run("--config", path, "custom", "prepare", config=False, env=env)
    assert done.returncode == BUILD_FAILURE
    place = f"{path}:4: Docker.Host: " if named == "key" else "error: DOCKER_HOST: "
    assert place + wanted in done.stderr, done.stderr


@pytest.mark.parametrize(
    "option, wanted",
    [
        (("--env", "BERTH_X=1"), "--env: 'BERTH_X' cannot be the name of"),
        (("--volume", "/tmp"), "--volume: volume '/tmp' has no ':'"),
    ],
)
def test_a_mistake_in_an_option_names_no_line_of_the_file(berth_driver, option, wanted):
    berth_driver.settings |= {
        "Backend": "docker",
        "Docker": {"Image": "x", "Environment": ["A=1"], "Volumes": ["/a:/b"]},
    }
    done = berth_driver.run(*option, "exec", "true")
    assert done.returncode == 2 and f"error: {wanted}" in done.stderr, done.stderr


@pytest.mark.parametrize("kind", ["no directory", "FIFO without a reader"])
def test_cleanup_works_without_the_log_file(berth_driver, tmp_path, kind):
    """A full disk must not leave tasks running."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    path = "/nonexistent/dir/log" if kind == "no directory" else fifo
    berth_driver.settings["LogFile"] = str(path)
    done = berth_driver.run("custom", "cleanup", env=in_runner(berth_driver))
    assert done.returncode == 0, done.stderr
    assert f"cannot open LogFile '{path}'" in done.stderr


def test_key_given_twice(berth_driver, tmp_path):
    path = tmp_path / "twice.toml"
    text = '[Fargate]\nSubnet = "subnet-1"\nRegion = "a"\nSubnets = ["subnet-2"]\nREGION = "b"\n'
    path.write_text('Backend = "local"\n' + text)
    env = in_runner(berth_driver)
    done = berth_driver.run("--config", path, "custom", "config", config=False, env=env)
    assert done.returncode == 0, done.stderr
    for line, key, before in ((5, "Subnets", 3), (6, "REGION", 4)):
        assert (
            f"twice.toml:{line}: Fargate.{key}: overrides the value in line {before}" in done.stderr
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
    assert done.returncode == 1 and "error: no job:" in done.stderr
    assert '"level":"error"' in log.read_text() and "berth-driver exec" in log.read_text()


def test_unset_exit_codes_warn_and_fall_back(berth_driver):
    env = berth_driver.environment(CUSTOM_ENV_CI_JOB_ID="1")
    done = berth_driver.run("custom", "config", env=env)
    assert done.returncode == 0 and "BUILD_FAILURE_EXIT_CODE" in done.stderr
    assert done.stdout.startswith(b"{")
    assert berth_driver.run("custom", "run", "/nonexistent", "x", env=env).returncode == 2


@pytest.mark.parametrize("name", ["BUILD_FAILURE_EXIT_CODE", "SYSTEM_FAILURE_EXIT_CODE"])
@pytest.mark.parametrize("value", ["x", "0", "256", "-1", "1 "])
def test_invalid_exit_codes(berth_driver, name, value):
    done = berth_driver.run("custom", "config", env=in_runner(berth_driver) | {name: value})
    assert done.returncode in (1, BUILD_FAILURE) and one_line(done.stderr)
    assert f"{name} is '{value}'" in done.stderr


def test_wrong_number_of_arguments(berth_driver, tmp_path):
    for words, message in (
        (["custom", "run"], "needs a script file and a stage name"),
        (["custom", "run", "script"], "needs a script file and a stage name"),
        (["custom", "run", "script", "stage", "more"], "unexpected argument 'more'; try --help"),
        (["custom", "config", "more"], "unexpected argument 'more'; try --help"),
        (["custom", "prepare", "--debug", "more"], "unexpected argument 'more'; try --help"),
        (["c", "p", "/etc/fargate.toml"], "unexpected argument '/etc/fargate.toml'; try --help"),
    ):
        done = berth_driver.run(*words, env=in_runner(berth_driver))
        assert done.returncode == BUILD_FAILURE and message in done.stderr, words


def test_a_surplus_word_does_not_keep_cleanup_from_its_work(berth_driver):
    done = berth_driver.run("custom", "cleanup", "more", env=in_runner(berth_driver))
    assert done.returncode == 0, done.stderr
    assert "warning: ignoring the unexpected argument 'more'" in done.stderr


@pytest.mark.parametrize("runner", [False, True], ids=["manually", "in a runner"])
@pytest.mark.parametrize(
    "words,message",
    [
        (["ps", "more"], "unexpected argument 'more'; try --help"),
        (["history", "4711", "--json"], "unexpected argument '--json'; options come before"),
        (["init", "file", "more"], "unexpected argument 'more'; try --help"),
        (["doctor", "more"], "unexpected argument 'more'; try --help"),
        (["completion", "bash", "more"], "unexpected argument 'more'; try --help"),
        (["version", "more"], "unexpected argument 'more'; try --help"),
        (["help", "exec", "more"], "unexpected argument 'more'; try --help"),
        (["help", "custom", "run", "more"], "unexpected argument 'more'; try --help"),
        (["custom", "help", "run", "more"], "unexpected argument 'more'; try --help"),
        (["help", "config", "more"], "unexpected argument 'more'; try --help"),
        (["help", "version", "more"], "unexpected argument 'more'; try --help"),
        (["exec"], "'exec' needs a command; try 'berth-driver exec -- uname -a'"),
        (["ssh"], "'ssh' needs a job: GitLab's job id"),
        (["logs"], "'logs' needs a job, as 'ps' lists them; try 'berth-driver ps'"),
        (["exec", "--workdir", "/", "--", "true"], "--workdir is for the backend 'docker'"),
        (["ps", "-q", "--json"], "--quiet excludes --json; try --help"),
        (["doctor", "--policy", "--json"], "--policy excludes --json"),
        (["gc", "--stop", "--task-definitions"], "--stop excludes --task-definitions"),
        (["history", "--failed", "4711"], "--failed is not for one job; try --help"),
        (["history", "--project", "x", "4711"], "--project is not for one job"),
        (["history", "--project", "["], "--project: '[' in the pattern \"[\" is not allowed"),
        (["history", "--project", "a/{b,c}"], "use '*' for any text without '/', '**' for any"),
        (["gc", "--force"], "--force does not apply to 'gc'"),
        (["exec", "-it", "node:16"], "'exec' has a terminal whenever it is started in one"),
        (["exec", "--rm", "node:16"], "'exec' always removes its task"),
        (["exec", "-p", "80:80", "nginx"], "'exec' publishes no ports"),
        (["exec", "--publish=80", "nginx"], "'exec' publishes no ports"),
        (["exec", "--image", "--rm", "--bogus"], "unknown option '--bogus'; try --help"),
        (["completion"], "'completion' needs a shell; try 'berth-driver completion bash'"),
        (["completion", "bsh"], "did you mean 'bash'?"),
        (["versoin"], "did you mean 'version'?"),
    ],
)
def test_a_wrong_command_line_exits_with_2(berth_driver, words, message, runner):
    """Of every command but the stages, whatever the runner's variables say."""
    if runner and (words[0] == "versoin" or {"custom", "config"} & set(words)):
        return  # might have been meant as a stage: the runner's code
    env = in_runner(berth_driver) if runner else None
    done = berth_driver.run(*words, env=env)
    assert done.returncode == 2 and one_line(done.stderr) and message in done.stderr, done.stderr


@pytest.mark.parametrize("command", ["gc", "ps", "init"])
def test_a_failure_of_other_commands_exits_with_1(berth_driver, tmp_path, command):
    path = tmp_path / "broken.toml"
    path.write_text("Backend = 3\n")
    done = berth_driver.run("--config", path, command, config=False)
    assert done.returncode == 1 and "broken.toml" in done.stderr


@pytest.mark.parametrize("name", ["berth-driver", "fargate"])
def test_calls_itself_as_it_is_called(berth_driver, tmp_path, name):
    link = tmp_path / name
    link.symlink_to(berth_driver.program)

    def shown(*words):
        return subprocess.run(
            [link, *words], input="\n" * 40, capture_output=True, text=True, timeout=60, check=False
        )

    assert f"Usage: {name} [OPTION...] COMMAND" in shown("--help").stdout
    assert f"\n  {name} exec --image node:16" in shown("help", "exec").stdout
    assert shown("version").stdout.startswith(f"{name} 0.")
    assert shown("frob").stderr.startswith(f"{name}: error: ")
    assert f"try '{name} exec -- uname -a'" in shown("exec").stderr
    missing = tmp_path / "none.toml"
    assert f"; '{name} init {missing}' writes one" in shown("--config", missing, "ps").stderr
    assert f"or write one with '{name} init'" in shown("doctor").stdout
    written = tmp_path / "written.toml"
    shown("--backend", "local", "init", written)
    assert f"# '{name} --config FILE doctor' checks" in written.read_text()
    assert f"complete -F _berth_driver {name}\n" in shown("completion", "bash").stdout
    assert f"#compdef {name}\n" in shown("completion", "zsh").stdout
    assert f"complete -c {name} -f -n" in shown("completion", "fish").stdout


def test_no_message_has_the_name_in_it(top):
    """It has program_name(), as the program may be installed as 'fargate'."""
    literal = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
    named = [
        f"{path.relative_to(top)}: {text}"
        for path in sorted((top / "driver").rglob("*.c"))
        if path.name != "cli.c"  # examples, whose name the help replaces
        for text in literal.findall(path.read_text())
        if re.search(r"'berth-driver|berth-driver [-a-z]+'", text)
    ]
    assert named == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", [["ps"], ["gc"], ["doctor"]], ids=" ".join)
def test_interrupt_is_quiet(berth_driver, words, number):
    """Ctrl-C while a command that only reads waits for an engine that does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as engine:
        engine.settimeout(60)
        address = f"tcp://127.0.0.1:{engine.getsockname()[1]}"
        berth_driver.settings |= {"Backend": "docker", "Docker": {"Image": "x", "Host": address}}
        process = berth_driver.start(*words)
        connection, _ = engine.accept()
        with connection:
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert err == b"berth-driver: interrupted\n"


@pytest.mark.parametrize(
    "terminal,variables,coloured",
    [
        (True, {"TERM": "xterm"}, True),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (True, {}, False),
        (False, {"TERM": "xterm"}, False),
    ],
)
def test_errors_have_colour_on_a_terminal_only(berth_driver, terminal, variables, coloured):
    ours, theirs = os.openpty() if terminal else os.pipe()  # the ends to read and to write
    env = berth_driver.environment() | variables
    process = berth_driver.start("frob", config=False, env=env, stderr=theirs)
    os.close(theirs)
    shown = os.read(ours, 4096)
    assert process.wait(60) == 2
    os.close(ours)
    word = rb"\033\[31;1merror\033\[0m" if coloured else b"error"
    assert re.match(rb"berth-driver: " + word + rb": unknown command", shown), shown


def test_the_help_of_a_command_is_about_it(berth_driver):
    def shown(*words):
        return berth_driver.run(*words, "--help", config=False).stdout.decode()

    ps, warm, custom, version = shown("ps"), shown("warm"), shown("custom", "run"), shown("version")
    assert "print the list again and again\n" in ps and "stay, and look" in warm
    assert "with 'ps'" not in ps and "FAILURE" not in ps and "255" not in ps
    assert "BUILD_FAILURE_EXIT_CODE" in custom and "'custom': " not in custom
    assert "--help" in version and "--config" not in version
    whole = shown()
    for text in ("with 'ps': ", "'custom': ", "'exec', 'ssh', 'doctor': Berth itself failed"):
        assert text in " ".join(whole.split())


def test_a_missing_configuration_names_init(berth_driver, tmp_path):
    path = tmp_path / "none.toml"
    done = berth_driver.run("--config", path, "ps", config=False)
    assert done.returncode == 1 and f"'berth-driver init {path}' writes one" in done.stderr, (
        done.stderr
    )
