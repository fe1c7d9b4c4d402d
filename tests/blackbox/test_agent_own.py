# SPDX-License-Identifier: MIT
"""'berth-agent own': the files of a build for the job's user, and nothing else."""

import os
import subprocess
import sys
import threading

import pytest

from support.mounts import _in_namespace
from support.seccomp import refusing

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

UID, GID = 54_321, 54_322


@pytest.fixture
def own(programs):
    """own(directory, owner, ...): CompletedProcess with texts."""

    def run(directory, owner=f"{UID}:{GID}", before=(), **how):
        return subprocess.run(
            [*before, programs.agent, "own", owner, directory],
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            timeout=100,
            **how,
        )

    return run


def owner(path):
    status = os.lstat(path)
    return status.st_uid, status.st_gid


def every(top):
    """The top and everything below it."""
    yield top
    for directory, directories, files in os.walk(top):
        for name in directories + files:
            yield os.path.join(directory, name)


def test_files_of_every_kind(own, tmp_path):
    """Links themselves, hard links, FIFOs, sockets, directories without rights, odd names."""
    top = tmp_path / "builds"
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("")
    (top / "a/b/c").mkdir(parents=True)
    (top / "file").write_text("")
    (top / "a/link").symlink_to(outside / "file")
    (top / "a/directory").symlink_to(outside)
    (top / "a/dangling").symlink_to("nowhere")
    (top / "a/up").symlink_to("..")
    os.link(top / "file", top / "a/hard")
    os.mkfifo(top / "fifo")
    os.mknod(top / "null", 0o600 | 0o020000, os.makedev(1, 3))
    os.mkdir(os.fsencode(top) + b"/\xff\n\x1b[0m")
    (top / "closed").mkdir(mode=0o000)
    (top / "closed/in").write_text("")
    done = own(top)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {owner(path) for path in every(top)} == {(UID, GID)}
    assert {owner(path) for path in every(outside)} == {(0, 0)}
    assert own(top, "0:0").returncode == 0
    assert {owner(path) for path in every(top)} == {(0, 0)}


def make_deep(top, depth):
    """A chain of directories deeper than a path can say, with a file in each."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("deep-directory", dir_fd=here)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        below = os.open("deep-directory", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def owners_of_deep(top):
    found = set()
    here = os.open(top, os.O_RDONLY)
    while True:
        status = os.fstat(here)
        found.add((status.st_uid, status.st_gid))
        if "deep-directory" not in os.listdir(here):
            os.close(here)
            return found
        status = os.lstat("file", dir_fd=here)
        found.add((status.st_uid, status.st_gid))
        below = os.open("deep-directory", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below


def test_a_deep_and_a_wide_tree_with_few_descriptors(own, tmp_path):
    top = tmp_path / "builds"
    top.mkdir()
    make_deep(top, 1500)
    for number in range(3000):
        (top / f"wide-{number}").mkdir()
    done = own(top, before=["prlimit", "--nofile=12", "--stack=262144"])
    assert (done.returncode, done.stderr) == (0, "")
    assert owners_of_deep(top) == {(UID, GID)}
    assert {owner(path) for path in top.iterdir()} == {(UID, GID)}
    subprocess.run(["rm", "-rf", top], check=True)


def test_other_file_systems_are_left_alone(own, tmp_path):
    """A tmpfs, a directory of the same file system mounted again, and a file mounted over."""
    top = tmp_path / "builds"
    for name in ("tmpfs", "again", "plain"):
        (top / name).mkdir(parents=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("")
    (tmp_path / "secret").write_text("")
    (top / "file").write_text("")
    before = _in_namespace(
        f"mount -t tmpfs none {top}/tmpfs && touch {top}/tmpfs/file && "
        f"mount --bind {other} {top}/again && mount --bind {tmp_path}/secret {top}/file && "
        f'"$@" && stat -c %u {top}/tmpfs {top}/tmpfs/file {top}/again/file {top}/file'
    )
    done = own(top, before=before)
    assert (done.returncode, done.stdout) == (0, "0\n0\n0\n0\n"), done.stderr
    assert (owner(other), owner(other / "file"), owner(tmp_path / "secret")) == ((0, 0),) * 3
    assert owner(top / "plain") == (UID, GID)


@pytest.mark.parametrize("reason", ["ENOSYS", "EPERM"])
def test_an_old_filter_that_refuses_statx(own, tmp_path, reason):
    """The device number then distinguishes file systems."""
    top = tmp_path / "builds"
    (top / "tmpfs").mkdir(parents=True)
    (top / "a/b").mkdir(parents=True)
    (top / "a/link").symlink_to("/etc/passwd")
    script = f'mount -t tmpfs none {top}/tmpfs && "$@" && stat -c %u {top}/tmpfs'
    done = own(top, before=[*_in_namespace(script), *refusing("statx", reason)])
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
    assert {owner(top / name) for name in ("", "a", "a/b", "a/link")} == {(UID, GID)}


def test_the_directory_may_be_a_mount_but_no_link(own, tmp_path):
    top = tmp_path / "builds"
    top.mkdir()
    before = _in_namespace(
        f'mount -t tmpfs none {top} && touch {top}/file && "$@" && stat -c %u {top} {top}/file'
    )
    assert own(top, before=before).stdout == f"{UID}\n{UID}\n"
    (tmp_path / "link").symlink_to(top)
    done = own(tmp_path / "link")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "own: cannot open directory" in done.stderr and owner(top) == (0, 0)


def test_files_that_come_and_go(own, tmp_path):
    """Files and directories vanish, appear and become links to a directory outside."""
    top, outside = tmp_path / "builds", tmp_path / "outside"
    for number in range(40):
        (top / f"{number}/a/b").mkdir(parents=True)
    outside.mkdir()
    (outside / "file").write_text("")
    stop = threading.Event()

    def change():
        number = 0
        while not stop.is_set():
            number = (number + 7) % 40
            place = top / str(number)
            os.rename(place / "a", place / "moved")
            os.symlink(outside, place / "a")
            (place / "file").write_text("")
            os.unlink(place / "a")
            os.unlink(place / "file")
            os.rmdir(place / "moved/b")
            os.mkdir(place / "moved/b")
            os.rename(place / "moved", place / "a")

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for number in range(20):
            done = own(top, f"{UID + number}:{GID}")
            assert (done.returncode, done.stderr) == (0, "")
    finally:
        stop.set()
        thread.join()
    assert {owner(path) for path in every(outside)} == {(0, 0)}


def many_directories(tmp_path):
    """(a directory, one outside with a file, 2000 with a file each in the first)"""
    top, outside = tmp_path / "builds", tmp_path / "outside"
    places = [top / str(number) for number in range(2000)]
    for place in [outside, *places]:
        place.mkdir(parents=True)
        (place / "file").write_text("")
    return top, outside, places


def test_directories_that_become_links(programs, tmp_path):
    """After their names were read, and before they are entered: all that are left by then."""
    top, outside, places = many_directories(tmp_path)
    words = [programs.agent, "own", f"{UID}:{GID}", top]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        while os.lstat(top).st_uid != UID:
            assert process.poll() is None
        for place in places:
            os.rename(place, tmp_path / f"moved-{place.name}")
            os.symlink(outside, place)
        process.wait(60)
    moved = {owner(tmp_path / f"moved-{place.name}") for place in places}
    assert (0, 0) in moved, "it was at work"
    assert {owner(path) for path in every(outside)} == {(0, 0)}


# In a mount namespace of its own: mounts a directory over all that have not been entered yet.
MOUNT_OVER_ALL = """
import ctypes, os, subprocess, sys
agent, owner, top, outside = sys.argv[1:]
libc = ctypes.CDLL(None)
with subprocess.Popen([agent, "own", owner, top]) as process:
    while os.lstat(top).st_uid == 0:
        pass
    for name in os.listdir(top):
        if libc.mount(os.fsencode(outside), os.fsencode(f"{top}/{name}"), None, 4096, None):
            sys.exit("cannot mount")
"""


def test_directories_that_become_mounts(programs, tmp_path):
    top, outside, places = many_directories(tmp_path)
    words = [sys.executable, "-c", MOUNT_OVER_ALL, programs.agent, f"{UID}:{GID}", top, outside]
    subprocess.run([*_in_namespace('exec "$@"'), *words], check=True, timeout=60)
    assert (0, 0) in {owner(place / "file") for place in places}, "it was at work"
    assert {owner(path) for path in every(outside)} == {(0, 0)}


def test_a_directory_that_is_moved_away(programs, tmp_path):
    """Its new parent has directories of the same names. The second pass does the rest."""
    top, outside = tmp_path / "builds", tmp_path / "outside"
    names = [f"name-{number}" for number in range(60)]
    for place in [top / name for name in names] + [outside / name for name in names]:
        place.mkdir(parents=True)
        (place / "file").write_text("")
    for number in range(2000):
        (top / f"large/{number}/below").mkdir(parents=True)
    with subprocess.Popen([programs.agent, "own", f"{UID}:{GID}", top]) as process:
        while os.lstat(top / "large").st_uid != UID:
            assert process.poll() is None
        os.rename(top / "large", outside / "large")
        assert process.wait(60) == 0
    assert {owner(outside / name / "file") for name in names} == {(0, 0)}
    assert {owner(path) for path in every(top)} == {(UID, GID)}


def test_failures_are_counted(own, tmp_path):
    """Ten are printed, with names that cannot control a terminal."""
    tmp_path.chmod(0o755)
    top = tmp_path / "builds"
    top.mkdir()
    for number in range(30):
        (top / f"\x1b{number}").write_text("")
    before = ["setpriv", "--bounding-set=-chown", "--inh-caps=-chown"]
    done = own(top, before=before)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 11
    assert all("Operation not permitted" in line for line in lines[:-1])
    assert f"own: the owner of 31 files in '{top}' could not be changed" in lines[-1]
    assert "\\x1b" in done.stderr and "\x1b" not in done.stderr
    assert own(top, "0:0", before=before).returncode == 0, "nothing to change"


@pytest.mark.parametrize(
    "text",
    ["", "1", "1:", ":1", "a:b", "-1:1", "4294967295:1", "1:4294967295", "1:1:1", "1.2", "+1:1"],
)
def test_wrong_owner(own, tmp_path, text):
    done = own(tmp_path, text)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is not UID:GID, such as 1000:1000" in done.stderr or text == "-1:1"


def test_wrong_directory(own, tmp_path):
    done = own("/")
    assert (done.returncode, "refusing to change the root directory" in done.stderr) == (2, True)
    assert own("/../").returncode == 2
    (tmp_path / "file").write_text("")
    assert (own(tmp_path / "file").returncode, owner(tmp_path / "file")) == (1, (0, 0))
    assert own(tmp_path / "none").returncode == 1
    assert own("").returncode == 1
