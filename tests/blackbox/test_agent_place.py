# SPDX-License-Identifier: MIT
"""'berth-agent place', in images that hold nothing else."""

import os
import stat
import subprocess

import pytest

from support.mounts import _in_namespace, small_disk
from support.scratch import BUSYBOX, without_warnings

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

TARGET = "/usr/bin/gitlab-runner-helper"


@pytest.fixture
def with_busybox(scratch):
    if not os.access(BUSYBOX, os.X_OK):
        pytest.skip(f"{BUSYBOX} is not installed")
    return scratch.add(BUSYBOX, scratch.program.parent / "busybox")


def modes(scratch, *paths):
    return [stat.S_IMODE(os.lstat(scratch.path(path)).st_mode) for path in paths]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_every_user_can_run_it_whatever_the_umask(scratch, umask):
    done = scratch.run("place", "/.berth", "--builds", "/builds/x", umask=umask)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert scratch.files("/.berth") == ["berth-agent", "helper", "helper/gitlab-runner"]
    paths = ("/.berth", "/.berth/berth-agent", "/.berth/helper", "/builds", "/builds/x")
    assert modes(scratch, *paths) == [0o755, 0o755, 0o755, 0o755, 0o1777]
    assert os.readlink(scratch.path("/.berth/helper/gitlab-runner")) == TARGET
    assert scratch.path("/.berth/berth-agent").read_bytes() == scratch.program.read_bytes()
    scratch.program = "/.berth/berth-agent"
    assert scratch.run("identity", user=1234).stdout == "1234 1234\n"


def test_a_volume_that_exists(scratch):
    """It may be closed to other users; its other files, and those of builds, stay."""
    for directory in ("/.berth", "/builds"):
        scratch.write(f"{directory}/other", "kept")
        scratch.path(directory).chmod(0o700)
    assert scratch.run("place", "/.berth", "--builds=/builds").returncode == 0
    assert modes(scratch, "/.berth", "/builds") == [0o755, 0o1777]
    assert scratch.path("/.berth/other").read_text() == "kept"
    assert scratch.path("/builds/other").read_text() == "kept"


def test_twice_and_over_something_else(scratch, with_busybox):
    scratch.write("/.berth/berth-agent", "old", 0o600)
    scratch.write("/.berth/helper/gitlab-runner", "a file")
    scratch.write("/.berth/applets/sh", "a file")
    for _ in range(2):
        assert scratch.run("place", "/.berth").returncode == 0
    assert modes(scratch, "/.berth/berth-agent") == [0o755]
    assert os.readlink(scratch.path("/.berth/helper/gitlab-runner")) == TARGET
    assert os.readlink(scratch.path("/.berth/applets/sh")) == "../busybox"
    scratch.program = "/.berth/berth-agent"
    assert scratch.run("place", "/.berth").returncode == 0, "over itself"
    assert scratch.run("identity").stdout == "0 0\n"


def test_at_the_same_time(scratch, with_busybox):
    words = [*scratch.words(), str(scratch.program), "place", "/.berth"]
    running = [subprocess.Popen(words, env={"ASAN_OPTIONS": scratch.asan()}) for _ in range(8)]
    assert [process.wait(60) for process in running] == [0] * 8
    left = [name for name in scratch.files("/.berth") if "applets/" not in name]
    assert left == ["applets", "berth-agent", "busybox", "helper", "helper/gitlab-runner"]
    assert not [name for name in scratch.files("/.berth/applets") if name.startswith(".")]
    assert scratch.path("/.berth/berth-agent").read_bytes() == scratch.program.read_bytes()


def test_busybox_and_its_applets(scratch, with_busybox):
    assert scratch.run("place", "/.berth", umask=0o077).returncode == 0
    listed = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True)
    assert scratch.files("/.berth/applets") == sorted(listed.stdout.split())
    assert modes(scratch, "/.berth/busybox", "/.berth/applets") == [0o755, 0o755]
    done = subprocess.run(
        [*scratch.words(4321), "/.berth/applets/sh", "-c", "id -u; which awk"],
        env={"PATH": "/.berth/applets"},
        capture_output=True,
        check=False,
    )
    assert done.stdout == b"4321\n/.berth/applets/awk\n"


@pytest.mark.parametrize("broken", ["not a program", "exit 1", "flood", "bad names"])
def test_a_busybox_that_does_not_list_its_applets(scratch, broken):
    text = {
        "not a program": "\0",
        "exit 1": "#!/bin/sh\necho sh; exit 1\n",
        "flood": "#!/bin/sh\nexec yes applet\n",
        "bad names": "#!/bin/sh\nprintf '../x\\n/etc/y\\n.\\n..\\n-z\\n\\001\\nsh\\n%040d\\n' 0\n",
    }[broken]
    scratch.add("/bin/sh").add("/usr/bin/yes").write("/bin/yes", "")
    scratch.add("/usr/bin/yes", "/bin/yes").path("/bin/yes").chmod(0o755)
    scratch.write(scratch.program.parent / "busybox", text, 0o755)
    done = scratch.run("place", "/.berth", env={"PATH": "/bin"})
    assert done.returncode == 0
    applets = scratch.files("/.berth/applets")
    if broken == "bad names":
        assert (applets, done.stderr) == (["sh"], "")
    else:
        assert {"sh", "cat", "[", "awk"} < set(applets)
        assert "'/.berth/busybox --list' failed, linking the usual applets" in done.stderr


@pytest.mark.waits
def test_a_busybox_that_hangs(scratch):
    """It and its children are killed after 5 s."""
    scratch.add("/bin/sh").add("/usr/bin/sleep")
    text = "#!/bin/sh\necho sh\nsleep 600\n"
    scratch.write(scratch.program.parent / "busybox", text, 0o755)
    done = scratch.run("place", "/.berth")
    assert (done.returncode, "failed, linking" in done.stderr) == (0, True)


def test_a_full_volume(scratch):
    before = small_disk(scratch.path("/.berth"))
    done = scratch.run("place", "/.berth", before=before)
    assert done.returncode == 1
    wanted = "fatal: cannot write '/.berth/berth-agent': No space left on device\n"
    assert done.stderr.endswith(wanted) and done.stderr.count("\n") == 1
    looks = [
        *before[:3],
        before[3].replace('exec "$@"', f'"$@"; ls -A {scratch.path("/.berth")}'),
        "sh",
    ]
    words = [*looks, *scratch.words(), str(scratch.program), "place", "/.berth"]
    left = subprocess.run(words, capture_output=True, check=False)
    assert left.stdout == b"", "no temporary file"


def test_a_read_only_volume(scratch):
    scratch.path("/.berth").mkdir()
    where = scratch.path("/.berth")
    before = _in_namespace(f'mount -t tmpfs -o ro none {where} && exec "$@"')
    done = scratch.run("place", "/.berth", before=before)
    assert done.returncode == 1
    wanted = "'/.berth/berth-agent': Read-only file system; mount the volume writable in this"
    assert wanted in done.stderr and done.stderr.count("\n") == 1


def test_without_rights(scratch):
    done = scratch.run("place", "/.berth", user=1234)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "cannot create directory '/.berth': Permission denied" in done.stderr
    scratch.path("/builds").mkdir()
    scratch.path("/mine").mkdir()
    os.chown(scratch.path("/mine"), 1234, 1234)
    done = scratch.run("place", "/mine", "--builds", "/builds", user=1234)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "cannot open '/builds' to all users: Operation not permitted" in done.stderr
    scratch.path("/builds").chmod(0o1777)
    assert scratch.run("place", "/mine", "--builds", "/builds", user=1234).returncode == 0


@pytest.mark.parametrize("name", ["berth-agent", "./berth-agent", "nonexistent"])
def test_found_by_its_name_without_proc(scratch, programs, name):
    """As a container's command without a path; argv[0] is all that is known."""

    def enter():
        os.chroot(scratch.root)
        os.chdir(scratch.program.parent)

    done = subprocess.run(
        [name, "place", "/.berth"],
        executable=scratch.program,
        preexec_fn=enter,
        env={"PATH": f":relative:{scratch.program.parent}", "ASAN_OPTIONS": scratch.asan()},
        capture_output=True,
        text=True,
        check=False,
    )
    if name == "nonexistent":
        assert (done.returncode, without_warnings(done.stderr).count("\n")) == (1, 1)
        assert "cannot open this program, 'nonexistent'" in done.stderr
    else:
        assert done.returncode == 0
        assert scratch.path("/.berth/berth-agent").exists()


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "place: missing argument; usage: berth-agent place DIRECTORY"),
        (["/a", "/b"], "place: unexpected argument '/b'; usage: berth-agent place DIRECTORY"),
        (["/a", "--build", "x"], "unknown option '--build'; did you mean '--builds'?"),
        (["/a", "--builds"], "option '--builds' needs a value"),
    ],
)
def test_wrong_words(scratch, words, message):
    done = scratch.run("place", *words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert not scratch.path("/a").exists()
