# SPDX-License-Identifier: MIT
"""scripts/check_includes.py reports circles, includes of higher layers, of another backend and of
private headers."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "check_includes.py"


def run(top, files):
    for name in ("agent", "driver", "common"):
        (top / name).mkdir()
    for name, included in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f'#include "{other}"\n' for other in included))
    ran = subprocess.run(
        [sys.executable, SCRIPT, top], capture_output=True, text=True, timeout=60, check=False
    )
    return ran.returncode, ran.stdout.splitlines()


@pytest.mark.parametrize(
    ("files", "problems"),
    [
        pytest.param(
            {
                "agent/main.c": ["agent/init/loop.h"],
                "agent/init/loop.c": ["agent/init/loop.h", "agent/options.h", "agent/ipc/wire.h"],
                "agent/ipc/wire.c": ["agent/ipc/wire.h", "agent/options.h", "common/fd.h"],
            },
            [],
            id="arrows point down",
        ),
        pytest.param(
            {
                "common/a.h": ["common/b.h"],
                "common/b.h": ["common/c.h"],
                "common/c.h": ["common/a.h"],
            },
            ["circle of files: common/a.h -> common/b.h -> common/c.h -> common/a.h"],
            id="circle of files",
        ),
        pytest.param(
            {
                "driver/config/a.c": ["driver/runner/b.h"],
                "driver/runner/c.c": ["driver/config/d.h"],
            },
            ["circle of folders: driver/config -> driver/runner -> driver/config"],
            id="circle of folders",
        ),
        pytest.param(
            {"agent/options.c": ["agent/init/signal_map.h"]},
            ["agent/options.c includes agent/init/signal_map.h of a higher layer"],
            id="higher layer",
        ),
        pytest.param(
            {"driver/backend/ecs/a.c": ["driver/backend/docker/b.h", "driver/backend/c.h"]},
            ["driver/backend/ecs/a.c includes driver/backend/docker/b.h of another backend"],
            id="other backend",
        ),
        pytest.param(
            {"agent/session/x/a.c": ["agent/session/session_private.h"]},
            [
                "agent/session/x/a.c includes agent/session/session_private.h, "
                "private to another folder"
            ],
            id="private header",
        ),
        pytest.param(
            {"agent/users.c": ["driver/base/json.h"]},
            ["agent/users.c includes driver/base/json.h of the other program"],
            id="other program",
        ),
        pytest.param(
            {"driver/new/a.c": []},
            ["driver/new/a.c: its folder is in no layer of check_includes.py"],
            id="unknown folder",
        ),
    ],
)
def test_problems(tmp_path, files, problems):
    assert run(tmp_path, files) == (1 if problems else 0, problems)
