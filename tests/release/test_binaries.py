# SPDX-License-Identifier: MIT
"""The released programs: static, hardened, reproducible from any directory, with debug files."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
BIN = TOP / "build/release/bin"
DEPS = Path(os.environ.get("BERTH_DEPS_DIR", TOP / "build/deps")).resolve()
PROGRAMS = ["berth-agent", "berth-driver"]


def tool(*words):
    return subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LC_ALL": "C"},
    ).stdout


@pytest.fixture(params=PROGRAMS)
def program(request):
    return BIN / request.param


def test_is_static_pie_and_stripped(program):
    kind = tool("file", "-b", program)
    assert "static-pie linked" in kind or "statically linked" in kind
    assert re.search(r", stripped$", kind.strip())
    assert "pie" in kind


def test_needs_no_loader_and_no_library(program):
    assert "INTERP" not in tool("readelf", "-lW", program)
    assert "NEEDED" not in tool("readelf", "-dW", program)


def test_memory_is_protected(program):
    segments = tool("readelf", "-lW", program)
    assert "GNU_RELRO" in segments
    stack = next(line for line in segments.splitlines() if "GNU_STACK" in line)
    assert "RWE" not in stack
    assert "NOW" in tool("readelf", "-dW", program)
    assert not re.search(r"LOAD.*RWE", segments)


def build_id(path):
    return re.search(r"Build ID: (\w+)", tool("readelf", "-nW", path))[1]


def test_debug_file_belongs_to_the_program(program):
    debug = program.with_name(f"{program.name}.debug")
    assert build_id(program) == build_id(debug)
    assert f"{debug.name}\0".encode() in program.read_bytes()


def test_debug_file_names_function_and_line(program):
    debug = program.with_name(f"{program.name}.debug")
    address = re.search(r"^(\w+) T main$", tool("nm", debug), re.MULTILINE)[1]
    function, line = tool("addr2line", "-f", "-e", debug, address).splitlines()
    assert function == "main"
    assert re.search(rf"/{program.name.removeprefix('berth-')}/main\.c:\d+$", line)


@pytest.mark.parametrize("path", [TOP, DEPS, Path.home()], ids=["tree", "libraries", "home"])
def test_holds_no_path_of_this_machine(program, path):
    if len(path.parts) < 2 or path == Path("/root"):
        # '/root' is a home directory that programs may name for other reasons.
        path = path / "." if path == Path("/") else path / ".cache"
    assert str(path).encode() not in program.read_bytes()
    assert str(path).encode() not in program.with_name(f"{program.name}.debug").read_bytes()


def test_version_is_the_projects(program):
    version = re.search(r"project\(berth VERSION (\S+)", (TOP / "CMakeLists.txt").read_text())[1]
    assert version in tool(program, "--version")


def test_install_copies_programs_texts_and_licence(tmp_path):
    tool("cmake", "--install", TOP / "build/release", "--prefix", tmp_path)
    for name in PROGRAMS:
        assert (tmp_path / "bin" / name).read_bytes() == (BIN / name).read_bytes()
    texts = tmp_path / "share/doc/berth"
    for name in ["LICENSE", "README.md", "CHANGELOG.md", "docs/architecture.md"]:
        assert (texts / name).read_bytes() == (TOP / name).read_bytes()


def hashes(directory):
    files = [name + suffix for name in PROGRAMS for suffix in ("", ".debug")]
    return {name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in files}


def revision():
    """Commit and date that the programs were built from, as cmake/revision.cmake takes them."""
    found = re.search(r"commit (\S+), (\S+)\)", tool(BIN / "berth-driver", "version"))
    return f"{found[1]} {found[2]}" if found else ""


def test_both_programs_name_one_commit():
    driver, agent = (tool(BIN / name, "--version").splitlines()[0] for name in PROGRAMS[::-1])
    assert driver.split("(")[1] == agent.split("(")[1]


def build_copy(directory):
    """Builds a copy of the sources there; returns a hash for each program and debug file."""
    source = directory / "source"
    listed = tool(
        "git",
        "-c",
        f"safe.directory={TOP}",
        "-C",
        TOP,
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "-z",
    )
    for name in filter(None, listed.split("\0")):
        if (TOP / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, source / name)
    prefix = DEPS / "musl/prefix"
    tool(
        "cmake",
        "-S",
        source,
        "--preset",
        "release",
        f"-DBERTH_PREFIX={prefix}",
        f"-DCMAKE_C_COMPILER={prefix}/bin/berth-cc",
        f"-DBERTH_REVISION={revision()}",  # the copy is no repository
    )
    tool("cmake", "--build", source / "build/release")
    return hashes(source / "build/release/bin")


@pytest.mark.timeout(1500)
def test_two_builds_in_two_places_are_the_same_bytes(tmp_path):
    assert build_copy(tmp_path / "another-place" / "with a much longer name") == hashes(BIN)
