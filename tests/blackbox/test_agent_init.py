# SPDX-License-Identifier: MIT
"""PID 1's duties: a main command, signals, orphans, leftovers."""

import os
import shutil
import signal
import subprocess
import textwrap

import pytest


@pytest.fixture
def init_only(programs):
    """init_only(words, options): runs 'berth-agent --init-only ... -- words'."""

    def run(words, options=(), before=(), **how):
        return subprocess.run(
            [*before, programs.agent, "--init-only", *options, "--", *words],
            capture_output=True,
            check=False,
            **{"timeout": 60, **how},
        )

    return run


def test_all_exit_codes(init_only):
    got = [init_only(["sh", "-c", f"exit {code}"]).returncode for code in range(256)]
    assert got == list(range(256))


@pytest.mark.parametrize("number", [1, 2, 6, 9, 11, 15])
def test_killed_by_signal(init_only, number):
    got = init_only(["sh", "-c", f"ulimit -c 0; kill -{number} $$"])
    assert got.returncode == 128 + number


def test_output_of_the_command_is_unchanged(init_only):
    got = init_only(["sh", "-c", "cat; echo err >&2"], input=b"through\n")
    assert got.stdout == b"through\n"
    assert b"err\n" in got.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_without_standard_descriptors(init_only, closed):
    """The command gets /dev/null, and no descriptor of the agent."""
    script = "for n in 0 1 2; do [ -e /proc/self/fd/$n ] || exit 1; done; cat >&2; exit 7"
    before = ["sh", "-c", f'exec "$@" {closed}', "sh"]
    assert init_only(["sh", "-c", script], before=before, stdin=subprocess.DEVNULL).returncode == 7


@pytest.mark.parametrize("word,code", [("/no/such/program", 127), ("/etc/passwd", 126)])
def test_command_that_cannot_run(init_only, word, code):
    got = init_only([word])
    assert got.returncode == code
    assert f"cannot execute '{word}'".encode() in got.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["-e", "143"], ["-e", "7,143"], ["--remap-exit=143"], ["-e143"],
        ["-s", "-w", "-v", "-g", "-e", "143"], ["-e", "143", "-e", "7"], ["-e", "7", "-e", "143"],
        ["-swvvvg", "-e", "143"], ["-se", "143"], ["-vve143"],
    ],
)  # fmt: skip
def test_remapped_exit(init_only, options):
    assert init_only(["sh", "-c", "exit 143"], options).returncode == 0
    assert init_only(["sh", "-c", "exit 42"], options).returncode == 42


@pytest.mark.parametrize(
    "options", [["-e", "256"], ["-r", "15"], ["-r", "TERM:NONSENSE"], ["-p", "NONSENSE"],
                ["-e", "1", "-e", "x"], ["-e", ",".join(["1"] * 1100)]],
)  # fmt: skip
def test_wrong_options(init_only, options):
    assert init_only(["true"], options).returncode == 2


@pytest.mark.parametrize("before", [[], ["--init-only"], ["-g"]])
def test_a_command_needs_the_dashes(programs, before):
    """The value of a misspelt option is not executed; the message mentions '--'."""
    got = subprocess.run([programs.agent, *before, "true"], capture_output=True, check=False)
    assert got.returncode == 2
    assert b"unexpected argument 'true'; a command comes after '--'" in got.stderr


VERBOSITY = {"0": "fatal", "1": "warn", "2": "info", "3": "debug", "4": "debug"}


@pytest.mark.parametrize("value", VERBOSITY)
def test_verbosity_of_tinis_environment(init_only, value):
    env = {**os.environ, "TINI_VERBOSITY": value, "TINI_SUBREAPER": ""}
    said = init_only(["true"], ["-r", "USR1:0"], env=env).stderr
    assert (b": info: main command" in said) == (VERBOSITY[value] in ("info", "debug"))
    said = init_only(["/no/such/program"], env=env).stderr
    assert (b": error: cannot execute" in said) == (VERBOSITY[value] != "fatal")
    got = init_only(["true"], ["--log-level", "info"], env=env)
    assert b"info: main command 'true' started" in got.stderr, "our own option counts more"


def test_debug_of_dumb_inits_environment(init_only):
    env = {**os.environ, "DUMB_INIT_DEBUG": "1"}
    rewriting = ["-r", "USR1:0"]
    words = ["sh", "-c", "kill -USR1 $PPID; sleep 0.2"]
    assert b": debug: signal 10 is not forwarded" in init_only(words, rewriting, env=env).stderr
    env["DUMB_INIT_DEBUG"] = "0"
    assert b": debug: " not in init_only(words, rewriting, env=env).stderr


def test_dispositions_and_mask_are_the_defaults(init_only):
    ignoring = ["env", "--ignore-signal", "--block-signal"]
    status = init_only(["cat", "/proc/self/status"], before=ignoring).stdout.decode()
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    assert [fields[name] for name in ("SigBlk", "SigIgn", "SigCgt")] == ["0" * 16] * 3


class Running:
    """An agent with a main command that reports the signals it gets."""

    SCRIPT = textwrap.dedent(
        """
        for name in TERM INT HUP QUIT USR1 USR2; do trap "echo got $name" $name; done
        trap 'exit 33' WINCH
        echo ready
        while :; do sleep 0.02; done
        """
    )

    def __init__(self, program, options=(), words=None, env=None):
        self.process = subprocess.Popen(
            [program, "--init-only", *options, "--", *(words or ["bash", "-c", self.SCRIPT])],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )
        assert self.line() == "ready"

    def line(self):
        return self.process.stdout.readline().decode().strip()

    def send(self, number):
        self.process.send_signal(number)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def running(programs):
    started = []

    def start(options=(), words=None, env=None):
        started.append(Running(programs.agent, options, words, env))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_signals_reach_the_main_command(running):
    init = running()
    for name in ("HUP", "INT", "QUIT", "USR1", "USR2", "TERM"):
        init.send(getattr(signal, f"SIG{name}"))
        assert init.line() == f"got {name}"
    init.send(signal.SIGWINCH)
    assert init.process.wait(60) == 33


@pytest.mark.parametrize(
    "option",
    [
        ["-r", "15:QUIT,HUP:0"],
        ["--rewrite", "TERM:3,1:0"],
        ["-r", "15:3", "-r", "1:0"],
        ["-r", "15:2", "-r", "1:0", "--rewrite", "15:3"],  # the last one for a signal
    ],
)
def test_rewritten_signals(running, option):
    init = running(option)
    init.send(signal.SIGHUP)
    init.send(signal.SIGTERM)
    assert init.line() == "got QUIT"
    init.send(signal.SIGWINCH)
    assert init.process.wait(60) == 33


@pytest.mark.parametrize(
    "options, env, children",
    [
        ([], {}, False),
        (["-g"], {}, True),
        (["-gc"], {}, False),
        (["-g", "-c"], {}, False),
        ([], {"TINI_KILL_PROCESS_GROUP": ""}, True),
        ([], {"TINI_KILL_PROCESS_GROUP": "1"}, True),
        (["--single-child"], {"TINI_KILL_PROCESS_GROUP": "1"}, False),
        ([], {"DUMB_INIT_SETSID": "1"}, True),
        ([], {"DUMB_INIT_SETSID": "0"}, False),
        (["-g"], {"DUMB_INIT_SETSID": "0"}, True),
    ],
)
def test_group(running, options, env, children):
    loop = "while :; do sleep 0.02; done"  # not 'wait', before which a shell can miss the signal
    child = f"trap 'echo child' USR1; echo ready; {loop}"
    traps = "trap 'echo parent' USR1; trap 'sleep 0.3; kill $!; exit 5' TERM"
    init = running(options, ["bash", "-c", f'{traps}; bash -c "{child}" & {loop}'], env)
    init.send(signal.SIGUSR1)
    expected = {"parent", "child"} if children else {"parent"}
    assert {init.line() for _ in expected} == expected
    init.send(signal.SIGTERM)
    assert init.process.stdout.read() == b""
    assert init.process.wait(60) == 5


NO_ZOMBIE_IS_LEFT = textwrap.dedent(
    """
    import os, sys, time
    end = time.monotonic() + 60
    while True:
        states = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                states.append(open(f"/proc/{name}/stat").read().rsplit(")", 1)[1].split()[0])
            except OSError:
                pass
        if "Z" not in states:
            sys.exit(0)
        if time.monotonic() > end:
            sys.exit(f"{states.count('Z')} zombies")
        time.sleep(0.01)
    """
)


def test_ten_thousand_orphans_as_pid_1(init_only):
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare")
    # The small shell forks twenty times faster than Python.
    fork = 'i=0; while [ $i -lt 10000 ]; do (: &); i=$((i+1)); done; exec python3 -c "$0"'
    got = init_only(
        ["sh", "-c", fork, NO_ZOMBIE_IS_LEFT],
        before=["unshare", "-pf", "--mount-proc", "--kill-child"],
        timeout=240,
    )
    assert got.returncode == 0, got.stderr


def test_main_command_beside_ssh(agent, ssh):
    target = agent(args=["--", "sh", "-c", "while [ ! -e done ]; do sleep 0.05; done; exit 21"])
    client = ssh(target)
    assert client.run("env | grep -c -E '^(SSH_PUBLIC_KEY|BERTH_)'").stdout == b"0\n"
    assert client.run(f"touch {target.directory}/done").returncode in (0, 255)
    assert target.wait(60) == 21


def test_idle_timers_are_off_with_a_main_command(agent):
    target = agent(
        args=[
            "--connect-timeout",
            "200ms",
            "--idle-timeout",
            "200ms",
            "--",
            "sh",
            "-c",
            "sleep 1.5; exit 9",
        ]
    )
    assert target.wait(60) == 9


def test_signals_without_a_main_command_reach_the_jobs(agent, ssh):
    target = agent()
    process = ssh(target).start(
        "trap 'echo usr1' USR1; trap 'echo hup; exit 4' HUP; echo ready;"
        "while :; do sleep 0.02; done"
    )
    assert process.stdout.readline() == b"ready\n"
    target.process.send_signal(signal.SIGUSR1)
    assert process.stdout.readline() == b"usr1\n"
    target.process.send_signal(signal.SIGHUP)
    assert process.stdout.readline() == b"hup\n"
    assert process.wait(60) == 4
    assert target.process.poll() is None


LEAVES_ONE = "setsid sleep 300 </dev/null >/dev/null 2>&1 & echo left"


def test_leftovers_kept(agent, ssh):
    target = agent()
    assert ssh(target).run(LEAVES_ONE).stdout == b"left\n"
    assert target.jobs()


def test_leftovers_killed(agent, ssh):
    target = agent(env={"BERTH_LEFTOVERS": "kill"})
    got = ssh(target).run(LEAVES_ONE + "; exit 6")
    assert (got.returncode, got.stdout) == (6, b"left\n")
    assert "sleep 300" not in " ".join(map(command_line, target.jobs()))


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode()
    except OSError:
        return ""
