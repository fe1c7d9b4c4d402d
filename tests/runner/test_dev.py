# SPDX-License-Identifier: MIT
"""./dev says what it can do, and says so when it cannot."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.waiting import until

TOP = Path(__file__).resolve().parents[2]
COMMANDS = [
    "demo",
    "test",
    "build",
    "package",
    "bench",
    "fuzz",
    "fmt",
    "lint",
    "reference",
    "fetch",
]
COMMANDS += ["clean"]


def dev(*words):
    return subprocess.run(
        [TOP / "dev", *words], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("words", [[], ["help"], ["--help"], ["-h"]])
def test_list_has_a_line_for_each_command(words):
    shown = dev(*words)
    assert shown.returncode == 0
    listed = re.findall(r"^  (\w+) +\S.*$", shown.stdout, re.MULTILINE)
    assert listed == [*COMMANDS, "help"]
    assert all(len(line) <= 100 for line in shown.stdout.splitlines())


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command):
    shown = dev(command, "--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith(f"./dev {command}")
    assert shown.stderr == ""


def test_every_command_file_is_listed():
    files = {path.stem.removeprefix("command_") for path in (TOP / "scripts").glob("command_*")}
    assert files == set(COMMANDS)


@pytest.mark.parametrize(
    "words",
    [
        ["bogus"],
        ["test", "bogus"],
        ["test", "--bogus"],
        ["test", "-k"],
        ["bench", "--bogus"],
        ["bench", "--rounds"],
        ["build", "bogus"],
        ["clean", "--bogus"],
        ["lint", "x"],
        ["fetch", "x"],
        ["package", "mips"],
        ["package", "amd64", "arm64"],
    ],
)
def test_a_mistake_is_one_line_and_status_2(words):
    shown = dev(*words)
    assert shown.returncode == 2
    assert shown.stdout == ""
    assert len(shown.stderr.splitlines()) == 1
    assert shown.stderr.startswith("dev: ")


# ./dev test with steps of our own instead of its.
STEPS = """
set -euo pipefail
top=$1
source scripts/lib.sh
source scripts/packages.sh
source scripts/command_test.sh
top=$2
packages=([none]= [unknown]=no-such-package)
step_packages=([fine]=none [pytest]=none [cmocka]=none [tool]=none [host]=none [guest]=none
    [lacking]=unknown [busy]=none [tries]=none [endless]=none [built]=none)
step_builds=([built]=release)
install_for() { :; }
steps=(fine lacking)
step_beside=([guest]=host)
step_busy() { "$python" -c 'while __import__("time").process_time() < 1: pass'; }
step_fine() { count 3 0 1; }
step_pytest() { echo "FAILED a.py::test_b - why"; count 2 1 0; return 1; }
step_cmocka() { echo "7: [  FAILED  ] test_c"; count 1 1 0; return 1; }
step_host() { until [ -e "$top/guest-began" ]; do sleep 0.05; done; count 1 0 0; }
step_guest() { touch "$top/guest-began"; echo "FAILED g.py::test_g - why"; count 4 1 0; return 1; }
step_tries() {
    need_venv() { :; }
    venv=$VENV
    run_pytest tries "$top/test_tries.py" -n 2
}
endless() {
    "$python" -c 'import os, sys, time
try:
    os.mkdir(sys.argv[1] + "/began")
    while True: time.sleep(0.05)
except KeyboardInterrupt:
    os.mkdir(sys.argv[1] + "/ended")' "$top"
}
build_preset() { endless; }
step_endless() { endless; }
step_tool() { echo first; echo "file.c:1: bad"; return 1; }
command_test "${@:3}"
"""


def words_of(tmp_path, *steps):
    return ["bash", "-c", STEPS, "dev", TOP, tmp_path, *steps]


def run_steps(tmp_path, *steps):
    command = words_of(tmp_path, *steps)
    return subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=60, check=False)


def test_what_failed_is_said_again_at_the_end(tmp_path):
    shown = run_steps(tmp_path, "pytest", "cmocka", "tool", "fine")
    assert shown.returncode == 1
    assert shown.stdout.splitlines()[-4:] == [
        "failed: pytest: a.py::test_b - why",
        "failed: cmocka: test_c",
        "failed: tool: file.c:1: bad",
        "6 passed, 3 failed, 1 skipped",
    ]


def test_nothing_failed(tmp_path):
    shown = run_steps(tmp_path, "fine")
    assert shown.returncode == 0
    assert "failed:" not in shown.stdout
    assert shown.stdout.splitlines()[-1] == "3 passed, 0 failed, 1 skipped"


SECOND_TRIES = """
import os, pathlib, pytest
def once(name):
    path = pathlib.Path(os.environ["PLACE"], name)
    seen = path.exists()
    path.touch()
    return seen
def test_steady(): pass
def test_chance(): assert once("chance"), "the first time"
def test_teardown(request):
    request.addfinalizer(lambda: once("teardown") or pytest.fail("left", pytrace=False))
def test_wrong(): assert not WRONG, "each time"
def test_memory(): assert not MEMORY or once("memory"), "sanitizer report"
@pytest.mark.parametrize("n", range(MANY))
def test_many(n): assert once(f"many-{n}"), "the first time"
"""


@pytest.mark.parametrize(
    "wrong, memory, many, counts, unsteady",
    [
        (False, False, 1, "6 passed, 0 failed, 0 skipped", ["chance", "teardown", "many[0]"]),
        (True, False, 0, "4 passed, 1 failed, 1 skipped", ["chance", "teardown"]),
        (False, True, 0, "2 passed, 3 failed, 1 skipped", []),
        (False, False, 2, "3 passed, 4 failed, 0 skipped", []),
    ],
)
def test_what_fails_once_is_unsteady(tmp_path, monkeypatch, wrong, memory, many, counts, unsteady):
    """Not what fails again, nor a sanitizer's report, nor more than three tests."""
    text = SECOND_TRIES
    for name, value in (("WRONG", wrong), ("MEMORY", memory), ("MANY", many)):
        text = text.replace(name, str(value))
    (tmp_path / "test_tries.py").write_text(text)
    monkeypatch.setenv("PLACE", str(tmp_path))
    monkeypatch.setenv("VENV", sys.prefix)
    shown = run_steps(tmp_path, "tries")
    *lines, last = shown.stdout.splitlines()
    assert last == counts, shown.stdout
    assert shown.returncode == (0 if " 0 failed" in counts else 1)
    start = "unsteady, failed once and passed alone: tries: "
    found = [line.split("::test_")[1].split(" - ")[0] for line in lines if line.startswith(start)]
    assert sorted(found) == sorted(unsteady)
    failed = [line for line in lines if line.startswith("failed: tries: ")]
    assert len(failed) == int(counts.split(", ")[1].split()[0])
    assert not unsteady or "   | E   " in shown.stdout


def test_each_step_shows_its_time_and_that_of_the_processors(tmp_path):
    shown = run_steps(tmp_path, "busy")
    found = re.search(
        r"^== busy .* 1 passed, 0 skipped, (\d+) s, (\d+) s of CPU$", shown.stdout, re.M
    )
    assert found, shown.stdout
    assert int(found[2]) >= 1


def test_a_step_beside_another_is_reported_in_order(tmp_path):
    """'host' ends only when 'guest' has begun, which comes after it."""
    shown = run_steps(tmp_path, "host", "fine", "guest")
    assert shown.returncode == 1
    names = re.findall(r"^== (\w+) +\.*\s*(ok|FAILED)", shown.stdout, re.MULTILINE)
    assert names == [("host", "ok"), ("fine", "ok"), ("guest", "FAILED")]
    assert shown.stdout.splitlines()[-2:] == [
        "failed: guest: g.py::test_g - why",
        "8 passed, 1 failed, 1 skipped",
    ]
    assert shown.stderr == ""


def state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("step", ["endless", "built"])
def test_a_signal_ends_the_running_step(tmp_path, step, number):
    """Although only ./dev itself gets it; a pytest that is interrupted ends what it started."""
    command = words_of(tmp_path, step)
    process = subprocess.Popen(command, cwd=TOP, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        until((tmp_path / "began").exists, what="the step")
        until(lambda: state(process.pid) == "S", what="the shell waits: before, it can miss one")
        process.send_signal(number)
        assert process.wait(60) == 128 + number
        assert (tmp_path / "ended").exists(), "the step ended first"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_started_in_the_background_of_a_script_it_takes_an_interrupt(tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/lib.sh").write_text("")
    (tmp_path / "scripts/command_test.sh").write_text(
        "command_test() { echo $#; grep SigIgn /proc/self/status; }"
    )
    shutil.copy(TOP / "dev", tmp_path)
    script = 'trap "" INT; exec "$0" test one two'
    shown = subprocess.run(
        ["bash", "-c", script, tmp_path / "dev"], capture_output=True, timeout=60, check=True
    )
    count, _, ignored = shown.stdout.split()
    assert (count, int(ignored, 16) & 1 << signal.SIGINT - 1) == (b"2", 0)


def test_a_step_whose_other_comes_later_runs_alone(tmp_path):
    shown = run_steps(tmp_path, "guest", "host")
    assert shown.stdout.count("== guest") == 1
    assert shown.stdout.splitlines()[-1] == "5 passed, 1 failed, 0 skipped"


@pytest.mark.parametrize("ci", ["", "true"])
@pytest.mark.parametrize("named", [True, False])
def test_a_step_that_cannot_run_fails_if_it_was_named(tmp_path, monkeypatch, named, ci):
    monkeypatch.setenv("CI", ci)
    shown = run_steps(tmp_path, *(["lacking"] if named else []))
    fails = named or ci == "true"
    assert shown.returncode == (1 if fails else 0)
    last = shown.stdout.splitlines()[-1]
    passed = 0 if named else 3
    assert last.startswith(f"{passed} passed, {1 if fails else 0} failed, ")
    assert "missing: no-such-package" in shown.stdout


def without(directory, *names):
    """An environment whose PATH has all programs of this machine but these."""
    for folder in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for path in Path(folder).iterdir():
            link = directory / path.name
            if path.name not in names and not link.is_symlink():
                link.symlink_to(path)
    return {**os.environ, "PATH": str(directory)}


def test_a_build_without_apt_names_all_missing_programs_at_once(tmp_path):
    env = without(tmp_path, "apt-get", "dpkg-query", "ninja", "patch")
    shown = subprocess.run(
        [TOP / "dev", "build"], capture_output=True, text=True, timeout=60, check=False, env=env
    )
    assert shown.returncode == 1 and shown.stdout == ""
    assert shown.stderr == (
        "dev: missing: ninja patch; install them with this system's package manager\n"
    )


def test_a_build_without_apt_looks_for_programs_not_for_packages(tmp_path):
    env = without(tmp_path, "apt-get", "dpkg-query")
    script = f"top={TOP}; . {TOP}/scripts/lib.sh; missing_packages build"
    shown = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True, env=env
    )
    assert (shown.stdout, shown.stderr) == ("", "")
