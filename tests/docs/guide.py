# SPDX-License-Identifier: MIT
"""Parses a guide in Markdown and runs its commands in a shell, as a reader would.

A block of shell commands is run unless the comment '<!-- not run: REASON -->' stands on the line
before it.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(\w*)$")
NOT_RUN = re.compile(r"^<!-- not run: (.+) -->$")
HEADING = re.compile(r"^(#+) (.+)$")


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    line: int
    heading: str
    not_run: str | None

    @property
    def runs(self):
        return self.language == "sh" and self.not_run is None

    def commands(self):
        """The text without comments, which differ by language."""
        return [line for line in self.text.splitlines() if not line.startswith("#")]


class Guide:
    def __init__(self, path):
        self.path = Path(path)
        self.lines = self.path.read_text().splitlines()
        self.blocks = []
        self.headings = []  # (level, title)
        self._read()

    def _read(self):
        inside, start, reason, title = None, 0, None, ""
        for number, line in enumerate(self.lines, 1):
            fence = FENCE.match(line)
            if inside is not None:
                if line == "```":
                    text = "\n".join(self.lines[start : number - 1]) + "\n"
                    self.blocks.append(Block(inside, text, start + 1, title, reason))
                    inside, reason = None, None
            elif fence:
                inside, start = fence.group(1), number
            elif heading := HEADING.match(line):
                title = heading.group(2)
                self.headings.append((len(heading.group(1)), title))
            else:
                marked = NOT_RUN.match(line)
                reason = marked.group(1) if marked else None
        assert inside is None, f"{self.path}: a block without its end"

    def prose(self):
        """Everything outside of blocks."""
        inside, lines = False, []
        for line in self.lines:
            if line.startswith("```"):
                inside = not inside
            elif not inside:
                lines.append(line)
        return "\n".join(lines)

    def block(self, containing, language="sh"):
        found = [b for b in self.blocks if b.language == language and containing in b.text]
        assert len(found) == 1, f"{len(found)} blocks of {language} contain {containing!r}"
        return found[0]


def anchor(title):
    """The anchor of a heading in GitLab and GitHub."""
    kept = re.sub(r"[^\w\- ]", "", title.lower().replace("`", ""))
    return kept.replace(" ", "-")


def heredoc(text, name):
    """The file that 'cat >NAME <<EOF' of a block writes, before variables are expanded."""
    found = re.search(rf"^cat >{re.escape(name)} <<'?EOF'?\n(.*?)^EOF$", text, re.M | re.S)
    assert found, f"no 'cat >{name}' in the block"
    return found.group(1)


def script(blocks, directory):
    """Blocks as one program: it exits at the first command that fails and names the block."""
    parts = [
        "set -euo pipefail",
        'failed() { echo "guide: line $1 of the block at line $2: exit status $3" >&2; }',
    ]
    for block in blocks:
        # A group, not a subshell: later blocks use the variables. The trap's line counts from the
        # block's first one, as LINENO is set manually.
        output = Path(directory) / f"line-{block.line}.out"
        parts += [
            f"trap 'failed \"$((LINENO - start))\" {block.line} $?' ERR",
            f"exec >'{output}'",
            "start=$LINENO",
            block.text.rstrip("\n"),
        ]
    return "\n".join(parts) + "\n"


def run(blocks, directory, environment, timeout_s):
    """The finished process; the output of each block is in line-N.out of 'directory'."""
    path = Path(directory) / "guide.sh"
    path.write_text(script(blocks, directory))
    return subprocess.run(
        ["bash", path],
        check=False,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=timeout_s,
    )


def environment(home, endpoint, programs):
    """Nothing of this machine's AWS settings reaches the commands."""
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
