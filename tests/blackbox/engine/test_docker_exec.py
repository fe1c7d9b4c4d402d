# SPDX-License-Identifier: MIT
"""berth-driver exec --backend docker."""

import hashlib
import os
import signal
import subprocess

import pytest

from support.terminal import Terminal

OWN_FAILURE = 255
WRONG_COMMAND_LINE = 2


@pytest.fixture
def run(docker_driver, engine, busybox, tmp_path):
    """run(arguments of exec..., options=...), without a configuration file."""
    here = tmp_path / "here"
    here.mkdir()
    docker_driver.settings["Docker"] = {"Labels": [docker_driver.label]}

    def call(*words, options=("--image", busybox), start=False, host=engine.url, **how):
        env = docker_driver.environment(DOCKER_HOST=host, MINE="from outside")
        how = {"cwd": here, "env": env} | how
        verb = docker_driver.start if start else docker_driver.run
        return verb("--log-level", "info", *options, "exec", *words, **how)

    call.here = here
    return call


@pytest.mark.parametrize("code", [0, 1, 42, 127, 255])
def test_status(run, code):
    assert run(f"exit {code}").returncode == code


def test_the_current_directory(run):
    (run.here / "file").write_text("mine\n")
    done = run("--", "sh", "-c", "pwd; cat file; echo made > new")
    assert done.stdout == f"{run.here}\nmine\n".encode()
    assert (run.here / "new").read_text() == "made\n"


def test_without_the_current_directory(run, busybox):
    done = run("pwd; ls", options=("--image", busybox, "--no-mount"))
    assert done.stdout.split()[0] == b"/" and b"bin" in done.stdout.split()


@pytest.mark.parametrize("directory", ["/", "/etc", "/opt", "/usr/local"])
def test_a_directory_that_would_hide_the_images_own(run, busybox, directory):
    """Node is in /usr/local of its image: 'npm' must be found from any current directory."""
    done = run("pwd", cwd=directory)
    assert done.stdout.split()[0] == b"/"
    assert f"not mounting '{directory}': it would hide the image's directory" in done.stderr


def test_workdir_and_volumes_and_variables(run, busybox, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("there\n")
    options = ["--image", busybox, "-v", "../other:/there:ro", "-w", "/there"]
    options += ["-e", "GIVEN=a b", "--env", "MINE", "-u", "5:6"]
    done = run("pwd; cat file; echo $GIVEN; echo $MINE; id -u; id -g", options=options)
    assert done.stdout == b"/there\nthere\na b\nfrom outside\n5\n6\n"


def test_a_directory_that_is_not_there(run, busybox):
    done = run("true", options=("--image", busybox, "-w", "/no/such"))
    assert done.returncode == 126 and "/no/such" in done.stderr


def test_streams(run):
    payload = os.urandom(3_000_000)
    done = run("tee /dev/stderr", input=payload, stderr=subprocess.DEVNULL)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(payload).digest()


def test_only_the_command_writes_to_stdout(run):
    done = run("echo out; echo err >&2")
    assert done.stdout == b"out\n"
    assert "err\n" in done.stderr and "task docker-" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c(run, docker_driver, engine, number):
    process = run("echo up; sleep 300", start=True)
    assert process.stdout.readline() == b"up\n"
    os.kill(process.pid, number)
    assert process.wait(60) == 128 + number
    assert engine.labelled(docker_driver.label)["containers"] == []


@pytest.mark.waits
def test_killing_it_ends_the_container(run, docker_driver, engine, until):
    process = run("echo up; sleep 300", start=True)
    assert process.stdout.readline() == b"up\n"
    process.kill()
    process.wait()
    until(lambda: engine.labelled(docker_driver.label)["containers"] == [], 60, "its own end")


def test_in_a_terminal(run, docker_driver, engine, busybox):
    """An interactive shell with the terminal's size; ^C reaches its command, nothing is left."""
    words = [docker_driver.program, "--config", docker_driver.config(), "--image", busybox]
    env = docker_driver.environment(DOCKER_HOST=engine.url)
    settings = [f"{name}={value}" for name, value in env.items()]
    terminal = Terminal(["env", "-C", run.here, *settings, *words, "exec", "--", "sh"])
    try:
        terminal.expect(r"# ", 60)
        terminal.type("tty -s && stty size\n")
        terminal.expect("37 91")
        terminal.type("sh -c 'echo going; exec sleep 300'\n")
        terminal.expect("\r\ngoing\r\n")  # what runs and not what was typed
        terminal.type("\x03")
        terminal.type("echo after $?; exit 7\n")
        terminal.expect("after 130")
        assert terminal.wait(60) == 7
    finally:
        terminal.close()


def test_a_jobs_image_does_not_count(run, docker_driver, engine):
    env = docker_driver.environment(DOCKER_HOST=engine.url, CUSTOM_ENV_CI_JOB_IMAGE="no/such:1")
    assert run("true", env=env).returncode == 0


@pytest.mark.parametrize(
    ("options", "host", "words"),
    [
        ((), None, "no image is configured; set [Docker] Image"),
        (("--image", "x"), "unix:///no/engine", "cannot reach the Docker Engine at"),
        (("--image", "x"), "unix:///no/engine", "start it, or set [Docker] Host"),
        (("--image", "x"), "tcp://127.0.0.1:notaport", "is not tcp://HOST:PORT"),
    ],
)
def test_mistakes(run, engine, options, host, words):
    done = run("true", options=options, host=host or engine.url)
    assert done.returncode == OWN_FAILURE and words in done.stderr, done.stderr
    assert done.stdout == b""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--image", "Alpine"), "--image: 'Alpine' is not a valid image name; its path must be"),
        (("--image", "no such"), "--image: 'no such' is not a valid image name"),
        (("--image", "x", "-v", "a"), "volume 'a' has no ':'"),
        (("--image", "x", "-v", "./no:/x"), "volume './no:/x': No such file"),
    ],
)
def test_wrong_values_of_options(run, engine, options, words):
    done = run("true", options=options, host=engine.url)
    assert done.returncode == WRONG_COMMAND_LINE and words in done.stderr, done.stderr
    assert done.stdout == b""


def test_a_socket_that_one_may_not_use(run, engine, busybox):
    """As a user without access to the socket's directory."""
    as_nobody = {"preexec_fn": lambda: (os.setgid(65534), os.setuid(65534))}
    done = run(
        "true", options=("--backend", "docker", "--image", busybox), config=False, **as_nobody
    )
    assert done.returncode == OWN_FAILURE
    assert "not allowed to use the Docker Engine" in done.stderr
    assert "add this user to the group 'docker'" in done.stderr
