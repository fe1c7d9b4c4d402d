# SPDX-License-Identifier: MIT
"""Whatever the user's login shell is and its start-up files do: a script runs, or it has failed."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from support import sshd
from support.driver import BUILD_FAILURE
from support.mounts import _in_namespace, login_shell
from support.proxy import Proxy
from support.waiting import until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

SHELLS = ["bash", "dash", "busybox", "zsh", "fish", "tcsh"]
SSHD = Path(__file__).parent / "support/sshd_as_agent.py"
NOT_BEGUN = "the command was not started"

# What reads it, and what it does. None of these may change what a script does.
BASHRC = {
    "not interactive": "case $- in *i*) ;; *) exit;; esac\n",
    "no prompt": '[ -n "$PS1" ] || exit 0\n',
    "exit 3": "exit 3\n",
    "exec": "exec true\n",
    "exec zsh": "exec zsh\n",
    "reads": "read -t 1 x; read -t 1 x\n",
    "cat": "cat() { echo faked; }; export -f cat; alias cat='echo faked'\n",
    "printf": "printf() { echo faked; }; export -f printf\n",
    "prints": "echo noise; echo more noise >&2\n",
    "xtrace": "set -x\n",
    "verbose": "set -v\n",
    "exported traces": "set -xv; export SHELLOPTS\n",
    "errexit": "set -e\n",
}
# Those that end the shell, or have it run something else.
FATAL = ["not interactive", "no prompt", "exit 3", "exec", "exec zsh"]

SCRIPT = "echo out\ncat /dev/null\nread x || echo none\nexit 7\n"


def shell_path(name, directory):
    """Where it is; busybox under the name of a shell."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    if name != "busybox":
        return found
    link = directory / "sh"
    link.symlink_to(found)
    return link


@pytest.fixture
def place(job, programs):
    """place(kind, shell, files): the job's task, with that login shell and those files in HOME."""

    def make(kind, shell="bash", files=None, environment=""):
        skeleton = job.directory / "skeleton"
        skeleton.mkdir()
        for name, text in (files or {}).items():
            path = skeleton / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        if kind == "sshd" and sshd.program() is None:
            pytest.skip("sshd is not installed")
        words = " ".join(
            f"'{word}'"
            for word in login_shell(job.directory, shell_path(shell, job.directory))
            + ([sys.executable, SSHD] if kind == "sshd" else [])
        )
        drop = "shift; " if kind == "sshd" else ""
        job.start_agent_by(
            f'cp -r {skeleton}/. "$HOME"; {environment} {drop}exec {words} "$@"', programs.agent
        )
        return job

    return make


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("kind", ["agent", "sshd"])
def test_a_script_under_every_login_shell(place, kind, shell):
    job = place(kind, shell).prepare()
    done = job.run(SCRIPT)
    assert (done.returncode, done.stdout) == (BUILD_FAILURE, b"out\nnone\n"), done.stderr
    assert job.exit_code() == "7\n"
    done = job.run("exit 1")
    assert (done.returncode, job.exit_code()) == (BUILD_FAILURE, "1\n")
    assert job.run('echo "${BASH_VERSION:+bash} it\'s $((2 + 3))"\n').stdout == b"bash it's 5\n"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("kind", ["agent", "sshd"])
def test_exec_under_every_login_shell(place, berth_driver, kind, shell):
    """Its input passes byte for byte, and characters that mean something to one of the shells."""
    job = place(kind, shell)
    payload = os.urandom(300_000)
    text = "echo 'a!b\\n' \"$((1 + 1))\" é >&2\ncat; exit 9"
    done = berth_driver.run("exec", text, input=payload, env=job.env)
    assert (done.returncode, done.stdout) == (9, payload), done.stderr
    assert "a!b\\n 2 é\n" in done.stderr or "a!b\n 2 é\n" in done.stderr
    done = berth_driver.run("exec", "--", "printf", "%s|", "a b", "it's!", "\\", "", env=job.env)
    assert (done.returncode, done.stdout) == (0, b"a b|it's!|\\||"), done.stderr


@pytest.mark.parametrize("rc", BASHRC)
def test_start_up_files_do_not_reach_a_job_of_the_agent(place, berth_driver, rc):
    job = place("agent", "bash", {".bashrc": BASHRC[rc]}).prepare()
    done = job.run("exec bash -c 'echo out >&2; echo $SSH_CLIENT$SSH2_CLIENT; exit 7'")
    assert (done.returncode, done.stdout, done.stderr) == (BUILD_FAILURE, b"out\n\n", "")
    assert job.exit_code() == "7\n"
    done = berth_driver.run("exec", "cat; exit 7", input=b"in\n", env=job.env)
    assert (done.returncode, done.stdout) == (7, b"in\n")
    assert "noise" not in done.stderr


@pytest.mark.parametrize(
    "rc",
    [pytest.param(rc, marks=pytest.mark.waits) if rc == "exec zsh" else rc for rc in BASHRC],
)
def test_start_up_files_under_sshd(place, rc):
    """A script that begins is whole and alone on standard output; one that does not has failed."""
    job = place("sshd", "bash", {".bashrc": BASHRC[rc]}).prepare()
    done = job.run(SCRIPT)
    assert done.returncode == BUILD_FAILURE, done.stderr
    if rc in FATAL or rc == "printf" and job.exit_code() is None:
        assert job.exit_code() is None and NOT_BEGUN in done.stderr and done.stdout == b""
        return
    assert (job.exit_code(), NOT_BEGUN in done.stderr) == ("7\n", False), done.stderr
    if rc != "exported traces":
        assert done.stdout.replace(b"faked\n", b"") == b"out\nnone\n"
    assert (rc == "prints") == ("noise" in done.stderr)


@pytest.mark.parametrize("rc", ["no prompt", "exit 3", "prints", "reads"])
def test_exec_and_start_up_files_under_sshd(place, berth_driver, rc):
    job = place("sshd", "bash", {".bashrc": BASHRC[rc]})
    payload = os.urandom(100_000)
    done = berth_driver.run("exec", "cat; exit 9", input=payload, env=job.env)
    if rc in FATAL:
        assert (done.returncode, done.stdout) == (255, b"") and NOT_BEGUN in done.stderr
    else:
        assert (done.returncode, done.stdout) == (9, payload), done.stderr


@pytest.mark.parametrize(
    "shell, file, text",
    [
        ("zsh", ".zshenv", "echo noise; read -t 1 x; cat() { echo faked }; alias printf=false\n"),
        ("fish", ".config/fish/config.fish", "echo noise; function cat; echo faked; end\n"),
        ("tcsh", ".tcshrc", "echo noise; alias cat echo faked; set verbose\n"),
    ],
)
def test_other_shells_start_up_files_under_sshd(place, shell, file, text):
    job = place("sshd", shell, {file: text}).prepare()
    done = job.run(SCRIPT)
    assert (done.returncode, done.stdout) == (BUILD_FAILURE, b"out\nnone\n"), done.stderr
    assert job.exit_code() == "7\n" and "noise" in done.stderr
    (job.home() / file).write_text("exit 0\n")
    done = job.run(SCRIPT)
    if shell != "zsh" and done.stdout:  # their 'exit' ends the reading of that file only
        return
    assert (done.returncode, done.stdout) == (BUILD_FAILURE, b"") and NOT_BEGUN in done.stderr


@pytest.mark.parametrize("kind", ["agent", "sshd"])
def test_a_shell_that_exits_in_front_of_the_script(place, kind):
    """BASH_ENV counts, as in 'docker run IMAGE bash -c'. sshd passes no such variable on."""
    files = {"env": "echo in BASH_ENV\n[ ! -e ~/stop ] || exit 0\n"}
    setting = 'export BASH_ENV="$HOME/env"; '
    job = place(kind, "bash", files | {".bashrc": "[ ! -e ~/stop ] || exit 0\n"}, setting)
    job.prepare()
    done = job.run("echo out\n")
    assert (done.returncode, done.stdout) == (0, b"out\n")
    assert (kind == "agent") == ("in BASH_ENV" in done.stderr)
    (job.home() / "stop").touch()
    done = job.run("echo out\n")
    assert (done.returncode, done.stdout, job.exit_code()) == (BUILD_FAILURE, b"", None)
    assert NOT_BEGUN in done.stderr and "status 0" in done.stderr


@pytest.mark.parametrize("kind", ["agent", "sshd"])
def test_a_stop_before_the_script_begins(place, kind):
    """Is a stop, and no fault of the start-up files."""
    wait = "[ -e ~/waiting ] || { touch ~/waiting; sleep 100; }\n"
    job = place(kind, "bash", {"env": wait, ".bashrc": wait}, 'export BASH_ENV="$HOME/env"; ')
    job.driver.settings["CancelGrace"] = "10s"  # a loaded machine takes its time to find the shell
    process = job.prepare().start("echo out\n")
    until((job.home() / "waiting").exists)
    os.kill(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, job.exit_code()) == (BUILD_FAILURE, b"", None), err
    assert b"was stopped on request" in err and NOT_BEGUN.encode() not in err


@pytest.mark.parametrize("begins", [True, False])
def test_a_connection_that_breaks_before_the_script_begins(place, begins):
    """The sign is awaited on the next connection, too; test_driver_resumable.py breaks it later."""
    wait = "touch ~/waiting; while [ -e ~/waiting ]; do sleep 0.05; done\n"
    files = {"env": wait + ("" if begins else "exit 0\n")}
    job = place("agent", "bash", files, 'export BASH_ENV="$HOME/env"; ').prepare()
    (path,) = job.driver.metadata.glob("*.json")
    proxy = Proxy(job.metadata()["port"])
    path.write_text(json.dumps(job.metadata() | {"port": proxy.port}))
    try:
        process = job.start("echo out\nexit 7\n")
        until((job.home() / "waiting").exists)
        before = proxy.connections
        proxy.cut()
        until(lambda: proxy.connections > before)
        (job.home() / "waiting").unlink()
        out, err = process.communicate(timeout=60)
    finally:
        proxy.close()
    assert (process.returncode, out) == (BUILD_FAILURE, b"out\n" if begins else b""), err
    assert job.exit_code() == ("7\n" if begins else None)
    assert b"is lost" in err and (NOT_BEGUN.encode() in err) != begins


@pytest.mark.parametrize("kind", ["agent", "sshd"])
def test_each_error_follows_its_command(place, kind):
    """One pipe for both, as with the runner's shell executor; they can be opened by name."""
    job = place(kind).prepare()
    wanted = "".join(f"c{n}\ne{n}\n" for n in range(200)).encode()
    done = job.run("for n in {0..199}; do echo c$n; echo e$n >&2; done\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, wanted, "")
    done = job.run("for n in {0..49}; do echo c$n; ls /nonexistent/$n; done\n")
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 100
    assert all(f"/{n}'" in lines[2 * n + 1] and lines[2 * n] == f"c{n}" for n in range(50)), lines
    done = job.run("echo a >/dev/stdout; echo b >/dev/stderr; set -e; ls /nonexistent; echo no\n")
    assert done.stdout.startswith(b"a\nb\n") and b"/nonexistent" in done.stdout
    assert (done.returncode, job.exit_code()) == (BUILD_FAILURE, "2\n")


def test_exec_keeps_the_streams_apart(place, berth_driver):
    job = place("agent")
    done = berth_driver.run("exec", "echo out; echo err >&2", env=job.env)
    assert done.stdout == b"out\n" and done.stderr.endswith("err\n")


@pytest.mark.parametrize("kind", ["agent", "sshd"])
def test_a_locale_whose_backslash_is_another_character(place, tmp_path, kind):
    """Shift JIS: bash finds no quoted pattern in it, and letters can be the ends of characters."""
    compiled = tmp_path / "locales/ja_JP.SJIS"
    compiled.parent.mkdir()
    localedef = shutil.which("localedef")
    if localedef is None or not Path("/usr/share/i18n/locales/ja_JP").exists():
        pytest.skip("the package 'locales' is not installed")
    os.spawnl(os.P_WAIT, localedef, "localedef", "-c", "-i", "ja_JP", "-f", "SHIFT_JIS",
              "--no-archive", "--no-warnings=ascii", str(compiled))  # fmt: skip
    assert compiled.exists()
    lines = {".bashrc": f"export LOCPATH={compiled.parent} LC_ALL=ja_JP.SJIS\n"}
    job = place(kind, "bash", lines, lines[".bashrc"].strip() + ";").prepare()
    for text in ("echo out", "x='\\'; echo out", b"echo out # \x82\xa0\x83", "echo out # あ"):
        done = job.run(text)
        assert (done.returncode, done.stdout) == (0, b"out\n"), (text, done.stderr)
    assert b"ja_JP.SJIS" in job.run('echo "$LC_ALL"; env | grep LC_ALL').stdout


@pytest.mark.parametrize("hidden", [["bash"], ["bash", "sh"], ["bash", "sh", "cat"]])
def test_an_image_with_little(job, programs, berth_driver, hidden):
    """Without bash sh is enough, without sh and cat busybox is."""
    if shutil.which("busybox") is None:
        pytest.skip("busybox is not installed")
    paths = [os.path.realpath(shutil.which(name)) for name in hidden]
    hide = " && ".join(f"mount --bind /dev/null {path}" for path in paths)
    job.put_before_agent(_in_namespace(f'{hide} && exec "$@"'), programs.agent)
    done = job.prepare().run("echo out${BASH_VERSION-}\nexit 7\n")
    assert (done.returncode, done.stdout) == (BUILD_FAILURE, b"out\n"), done.stderr
    assert job.exit_code() == "7\n"
    done = berth_driver.run("exec", "echo out; exit 7", env=job.env)
    assert (done.returncode, done.stdout) == (7, b"out\n"), done.stderr


def test_names_that_no_shell_keeps(job, programs, berth_driver):
    """A program is started without a shell; dash drops such variables."""
    job.put_before_agent(["env", "a.b=c"], programs.agent)
    for input in (None, b""):
        done = berth_driver.run("exec", "--", "/usr/bin/env", env=job.env, input=input)
        assert done.returncode == 0 and b"\na.b=c\n" in b"\n" + done.stdout


def test_a_program_that_is_not_there(berth_driver, tmp_path):
    (tmp_path / "file").write_text("text\n")
    for words, status in ((["nonexistent", "x"], 127), ([tmp_path / "file", "x"], 126)):
        for input in (None, b""):
            done = berth_driver.run("exec", "--", *words, input=input)
            assert (done.returncode, done.stdout) == (status, b"")
            assert f"cannot execute '{words[0]}'" in done.stderr


def test_scripts_that_no_retry_can_run(job):
    job.prepare()
    for text, reason in ((b"echo a\0b\n", "NUL byte"), (b"#" * (64 << 20) + b"#", "larger than")):
        done = job.run(text)
        assert (done.returncode, done.stdout) == (BUILD_FAILURE, b""), done.stderr
        assert reason in done.stderr and job.exit_code() is None
