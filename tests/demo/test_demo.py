# SPDX-License-Identifier: MIT
"""./dev demo: one whole job through the released programs, and one that fails as it should."""

import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]


def demo(*words):
    return subprocess.run(
        [TOP / "dev", "demo", *words], capture_output=True, text=True, timeout=900, check=False
    )


def phases(output):
    """{name: (exit status, BUILD_EXIT_CODE_FILE)} of the table of phases."""
    rows = re.findall(r"^(\w+) +\d+\.\d{3} +(-?\d+)(?: +(\S+))?$", output, re.MULTILINE)
    return {name: (int(status), code) for name, status, code in rows}


@pytest.mark.timeout(1000)
def test_demo():
    ran = demo()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    table = phases(ran.stdout)
    assert len(table) == 12
    assert all(row == (0, "") for row in table.values())
    assert "Job succeeded" in ran.stdout
    assert re.search(r"^ +ok +3,1\d\d,\d{3} bytes of output arrived", ran.stdout, re.MULTILINE)
    assert "nothing is left running" in ran.stdout
    assert len(ran.stdout) < 20_000, "the bulk output floods the terminal"
    assert "NOT" not in re.findall(r"^ +(ok|NOT) ", ran.stdout, re.MULTILINE)


@pytest.mark.timeout(1000)
def test_demo_fail():
    ran = demo("--fail")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    table = phases(ran.stdout)
    assert table["step_script"] == (1, "42")
    assert table["after_script"] == (0, "")
    assert table["cleanup"] == (0, "")
    assert "after_script ran, CI_JOB_STATUS=failed\n" in ran.stdout
    assert "ERROR: Job failed: exit code 42" in ran.stdout
    assert "nothing is left running" in ran.stdout


@pytest.mark.timeout(1000)
def test_demo_shows_all_when_asked():
    ran = demo("--full", "--size", "100k")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count("bulk output of the demo") > 2000
