# SPDX-License-Identifier: MIT
"""The packages of './dev package': contents, reproducible bytes, and their life in fresh roots."""

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
BIN = TOP / "build/release/bin"
VERSION = re.search(r"project\(berth VERSION (\S+)", (TOP / "CMakeLists.txt").read_text())[1]
DEB = f"berth_{VERSION}-1_amd64.deb"
RPM = f"berth-{VERSION}-1.x86_64.rpm"
PAGES = ["man1/berth-driver.1", "man1/berth-agent.1", "man5/fargate.toml.5"]
SETTINGS = """
mkdir -p /etc/gitlab-runner /tmp/job
cat >/etc/gitlab-runner/fargate.toml <<'TOML'
Backend = "local"
TOML
echo '{"id": 4711, "token": "glcbt-0123456789"}' >/tmp/job/response.json
export BUILD_FAILURE_EXIT_CODE=70 SYSTEM_FAILURE_EXIT_CODE=71
export JOB_RESPONSE_FILE=/tmp/job/response.json CUSTOM_ENV_CI_JOB_ID=4711 TMPDIR=/tmp
stage() { berth-driver --config /etc/gitlab-runner/fargate.toml custom "$@"; }
"""


# Packing takes a minute on a busy machine.
pytestmark = pytest.mark.timeout(1500)


def tool(*words, **how):
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False, **how
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def dist(package_dist):
    return package_dist()


@pytest.fixture(scope="session")
def old_deb(dist, tmp_path_factory):
    """The same package with a lower version and a driver of other bytes."""
    directory = tmp_path_factory.mktemp("old") / "tree"
    tool("dpkg-deb", "-R", dist / DEB, directory)
    with open(directory / "usr/bin/berth-driver", "ab") as program:
        program.write(b"old")
    control = directory / "DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {VERSION}-1", "Version: 0.0.9-1"))
    tool("dpkg-deb", "-Zgzip", "-z1", "-b", directory, directory.with_suffix(".deb"))
    return directory.with_suffix(".deb")


@pytest.fixture(scope="session")
def tree(dist, tmp_path_factory):
    """The unpacked .deb."""
    directory = tmp_path_factory.mktemp("tree")
    tool("dpkg-deb", "-x", dist / DEB, directory)
    return directory


def files_of(directory):
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_two_runs_are_the_same_bytes(dist, package_dist):
    again = package_dist()
    assert (again / "SHA256SUMS").read_text() == (dist / "SHA256SUMS").read_text()


def test_checksums(dist):
    listed = dict(
        reversed(line.split("  ")) for line in (dist / "SHA256SUMS").read_text().splitlines()
    )
    assert listed == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in dist.iterdir()
        if path.name != "SHA256SUMS"
    }
    assert {DEB, RPM, f"berth-{VERSION}-linux-amd64.tar.gz", f"berth-{VERSION}.cdx.json"} < set(
        listed
    )


def test_contents(tree):
    assert tree.joinpath("usr/bin/berth-driver").read_bytes() == (BIN / "berth-driver").read_bytes()
    agent = (BIN / "berth-agent").read_bytes()
    assert tree.joinpath("usr/bin/berth-agent").read_bytes() == agent
    assert tree.joinpath("usr/lib/berth/berth-agent-x86_64").read_bytes() == agent
    other = TOP / "build/release-arm64/bin/berth-agent"
    if other.exists():
        packed = tree / "usr/lib/berth/berth-agent-aarch64"
        assert packed.read_bytes() == other.read_bytes()
    sources = [*(TOP / "deploy/examples").iterdir(), *(TOP / "deploy/cloudformation").iterdir()]
    examples = {path.name for path in sources}
    assert files_of(tree / "usr/share/doc/berth/examples") == examples
    assert {path.name for path in (tree / "usr/lib/systemd/system").iterdir()} == {
        path.name for path in (TOP / "deploy/systemd").iterdir()
    }
    assert files_of(tree / "usr/share/man") == {f"{page}.gz" for page in PAGES}
    # No active configuration: nothing in /etc but the rotation of a log that need not exist.
    assert files_of(tree / "etc") == {"logrotate.d/berth"}


def test_owners_and_modes(dist):
    listed = tool("dpkg-deb", "-c", dist / DEB)
    for mode, owner, name in re.findall(r"^(\S+) (\S+) +\d+ \S+ \S+ \./(\S+)$", listed, re.M):
        wanted = "755" if name.startswith(("usr/bin/", "usr/lib/berth/")) else "644"
        if mode[0] == "d":
            wanted = "750" if name == "var/log/berth/" else "755"
        digits = "".join(
            str(sum(bit for bit, letter in zip((4, 2, 1), part, strict=True) if letter != "-"))
            for part in (mode[1:4], mode[4:7], mode[7:10])
        )
        assert (digits, owner) == (wanted, "root/root"), name


def test_rpm_has_the_same_files(dist, tree):
    listed = tool(
        "rpm", "-qp", "--qf", "[%{FILENAMES} %{FILEMODES:octal} %{FILEDIGESTS}\n]", dist / RPM
    )
    packed = dict(re.findall(r"^/(\S+) 10\d+ (\w+)$", listed, re.M))
    expected = {
        name.replace("vendor-completions/_", "site-functions/_"): hashlib.sha256(
            (tree / name).read_bytes()
        ).hexdigest()
        for name in files_of(tree)
    }
    assert packed == expected
    requires = tool("rpm", "-qpR", dist / RPM).split()
    assert requires == ["tzdata"]
    assert "busybox" in tool("rpm", "-qp", "--recommends", dist / RPM)
    assert "ok" in tool("rpm", "-K", "--nosignature", dist / RPM).lower()


def test_rpmlint_has_no_findings(dist, tmp_path):
    # Names in nfpm's archive are absolute: without this, rpmlint would unpack it over the machine.
    safe = tmp_path / "cpio"
    safe.write_text(f'#!/bin/sh\nexec {shutil.which("cpio")} --no-absolute-filenames "$@"\n')
    safe.chmod(0o755)
    shown = tool(
        "rpmlint", "-c", TOP / "tests/release/rpmlint.toml", dist / RPM,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert "0 errors, 0 warnings" in shown, shown


def test_archive_and_debug_files(dist, tree):
    prefix = f"berth-{VERSION}-linux-amd64"
    with tarfile.open(dist / f"{prefix}.tar.gz") as archive:
        found = {
            member.name.removeprefix(f"{prefix}/"): member for member in archive if member.isfile()
        }
        assert {name.replace("site-functions/_", "vendor-completions/_") for name in found} == (
            files_of(tree)
        )
        assert all((m.uid, m.gid, m.uname) == (0, 0, "") for m in found.values())
        assert found["usr/bin/berth-driver"].mode == 0o755
    with tarfile.open(dist / f"{prefix}-debug.tar.gz") as archive:
        for name in ("berth-agent.debug", "berth-driver.debug"):
            packed = archive.extractfile(f"{prefix}-debug/{name}").read()
            assert packed == (BIN / name).read_bytes()
    assert not [name for name in files_of(tree) if name.endswith(".debug")]


def test_list_of_libraries(dist):
    text = (dist / f"berth-{VERSION}.cdx.json").read_text()
    bom = json.loads(text)
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.5")
    lock = (TOP / "deps/sources.lock").read_text().splitlines()
    pinned = {line.split()[0]: line.split() for line in lock if line[:1].isalpha()}
    found = {part["name"]: part for part in bom["components"] if part["type"] == "library"}
    assert set(found) == set(pinned) and len(found) == 7
    for name, part in found.items():
        assert part["version"] == pinned[name][1]
        assert part["hashes"] == [{"alg": "SHA-256", "content": pinned[name][3]}]
        assert part["licenses"][0]["license"]["id"]
    refs = {part["bom-ref"] for part in bom["components"]} | {"berth"}
    for entry in bom["dependencies"]:
        assert {entry["ref"], *entry["dependsOn"]} <= refs


def test_licences_of_the_libraries(tree):
    text = (tree / "usr/share/doc/berth/copyright").read_text()
    for words in (
        "The Berth authors", "Rich Felker", "Apache License", "Frank Denis",
        "GNU LESSER GENERAL PUBLIC LICENSE", "Dave Gamble", "Expat maintainers", "Daniel Stenberg",
    ):  # fmt: skip
        assert words in text, words


@pytest.mark.parametrize("page", PAGES)
def test_man_page(tree, tmp_path, page):
    text = gzip.decompress((tree / f"usr/share/man/{page}.gz").read_bytes())
    path = tmp_path / Path(page).name
    path.write_bytes(text)
    assert tool("mandoc", "-Tlint", path) == ""
    shown = re.sub(".\b", "", tool("mandoc", "-Tutf8", "-Owidth=78", path))
    assert f"berth {VERSION}" in shown
    if page == PAGES[0]:
        for word in ("completion SHELL", "--task-def NAME", "BERTH_CONFIG", "EXIT STATUS"):
            assert word in shown, word
    if page == PAGES[2]:
        keys = re.findall(r'\{\s*(?:NULL|"\w+"),\s*"(\w+)",\s*SCHEMA_', schema())
        assert len(keys) > 70
        for key in keys:
            assert re.search(rf"^ +{key}\b", shown, re.M), key


def schema():
    return (TOP / "driver/config/schema.c").read_text()


def test_examples_are_read_by_the_driver(tree):
    for path in sorted((tree / "usr/share/doc/berth/examples").glob("*.toml")):
        if path.name == "config.toml":
            assert path.read_text().count("/usr/bin/berth-driver") == 4
            continue
        done = subprocess.run(
            [BIN / "berth-driver", "--config", path, "--log-file", "/dev/null", "doctor"],
            capture_output=True, text=True, check=False, timeout=60,
            env={"PATH": os.environ["PATH"], "AWS_EC2_METADATA_DISABLED": "true"},
        )  # fmt: skip
        assert "unknown" not in done.stdout + done.stderr
        assert re.search(r"ok .*configuration", done.stdout), done.stdout + done.stderr


def test_units_are_valid(tree):
    units = [f"berth-{name}.{kind}" for name in ("gc", "warm") for kind in ("service", "timer")]
    for name in units:
        text = (tree / "usr/lib/systemd/system" / name).read_text()
        assert "[Unit]\n" in text and "Documentation=man:berth-driver(1)\n" in text
    if shutil.which("systemd-analyze"):
        tool("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", f"--root={tree}",
             *units)  # fmt: skip


def test_log_is_rotated_and_stays_private(tree, tmp_path):
    log = tmp_path / "logs/berth.log"
    log.parent.mkdir()
    log.write_text("line\n")
    log.chmod(0o600)
    rules = (tree / "etc/logrotate.d/berth").read_text()
    path = tmp_path / "rules"
    path.write_text(rules.replace("/var/log/berth", str(log.parent)))
    path.chmod(0o644)
    tool("logrotate", "--force", "--state", tmp_path / "state", path)
    assert log.read_text() == "" and log.stat().st_mode & 0o777 == 0o600
    assert (log.parent / "berth.log.1").read_text() == "line\n"
    log.unlink()
    log.parent.rename(tmp_path / "gone")
    tool("logrotate", "--force", "--state", tmp_path / "state", path)


def test_install_and_first_job(dist, root):
    root.add(dist / DEB, "new.deb")
    shown = root.check(
        SETTINGS
        + """
        dpkg -i /new.deb >/dev/null
        test ! -e /var/lib/berth && ! ls /etc/systemd/system/*/berth-*.timer 2>/dev/null
        berth-driver doctor
        stage config; stage prepare
        echo 'echo "job in $(. /etc/os-release; echo $VERSION_ID)"; exit 3' >/tmp/job/script
        stage run /tmp/job/script build_script || echo "status $?"
        stage cleanup
        """
    )
    assert re.search(r"^job in 1[23]$", shown, re.M) and "status 70" in shown
    assert " stopped" in shown


def test_upgrade_with_a_job_in_flight(dist, old_deb, root):
    """Old prepare, a script that runs meanwhile, new run and cleanup."""
    root.add(dist / DEB, "new.deb")
    root.add(old_deb, "old.deb")
    shown = root.check(
        SETTINGS
        + """
        dpkg -i /old.deb >/dev/null
        dpkg-query -W -f '${Version}\n' berth
        stage prepare
        echo 'echo begun; until [ -e /tmp/job/go ]; do sleep 0.1; done; echo over' >/tmp/job/script
        stage run /tmp/job/script build_script >/tmp/job/out 2>&1 & running=$!
        until grep -qs begun /tmp/job/out; do sleep 0.1; done
        dpkg -i /new.deb >/dev/null
        dpkg-query -W -f '${Version}\n' berth
        touch /tmp/job/go
        wait $running
        cat /tmp/job/out
        echo 'echo second; exit 4' >/tmp/job/script
        stage run /tmp/job/script after_script || echo "status $?"
        stage cleanup
        ls -A /var/lib/berth/metadata
        """
    )
    assert shown.startswith("0.0.9-1\n") and f"\n{VERSION}-1\n" in shown
    assert re.search(r"begun\n(.*\n)*over\n(.*\n)*second\n", shown), shown
    assert "status 70" in shown and " stopped" in shown
    assert "job-" not in shown.split(" stopped")[1]


def test_remove_leaves_jobs_and_runner_alone(dist, root):
    root.add(dist / DEB, "new.deb")
    shown = root.check(
        SETTINGS
        + """
        echo mine >/etc/gitlab-runner/config.toml
        dpkg -i /new.deb >/dev/null
        mkdir -p /etc/systemd/system/timers.target.wants
        for timer in gc warm; do
            ln -s /usr/lib/systemd/system/berth-$timer.timer \\
                /etc/systemd/system/timers.target.wants/
        done
        cp /bin/sleep /usr/bin/gitlab-runner
        gitlab-runner 100 & runner=$!
        stage prepare
        agent=$(grep -o '"pid":[[:space:]]*[0-9]*' /var/lib/berth/metadata/*.json | tail -n 1)
        agent=${agent##*[^0-9]}
        dpkg -r berth >/dev/null
        kill -0 $runner && echo "runner runs"
        kill -0 $agent && echo "task runs"
        cat /etc/gitlab-runner/config.toml; ls /var/lib/berth/metadata
        test ! -e /usr/bin/berth-driver && test ! -e /usr/lib/berth
        ! ls /etc/systemd/system/timers.target.wants/berth-*.timer 2>/dev/null
        dpkg -P berth >/dev/null
        test ! -e /etc/logrotate.d/berth; ls -d /var/lib/berth
        # Installed again, it finishes the job.
        dpkg -i /new.deb >/dev/null; stage cleanup
        """
    )
    for words in (
        "runner runs",
        "task runs",
        "mine",
        "job-4711-",
        "/var/lib/berth\n",
        " stopped",
    ):
        assert words in shown, shown
