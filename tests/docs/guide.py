# SPDX-License-Identifier: MIT
"""Parses a guide in Markdown and runs its commands as if they were pasted into a terminal.

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
# Interactive, without the start-up files of this machine.
SHELLS = {
    "bash": ["bash", "--noprofile", "--norc", "-i", "-s"],
    "zsh": ["zsh", "-f", "-i", "-s"],
}
TYPED = "glrt-example"


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

    @property
    def on_host(self):
        return self.not_run is not None and "runner host" in self.not_run

    def __str__(self):
        return f"line {self.line}"


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

    def shell(self):
        return [block for block in self.blocks if block.language == "sh"]

    def block(self, containing, language="sh"):
        found = [b for b in self.blocks if b.language == language and containing in b.text]
        assert len(found) == 1, f"{len(found)} blocks of {language} contain {containing!r}"
        return found[0]


def anchor(title):
    """The anchor of a heading in GitLab and GitHub."""
    kept = re.sub(r"[^\w\- ]", "", title.lower().replace("`", ""))
    return kept.replace(" ", "-")


def pasted(blocks, directory):
    """What is typed: each block, then a line that notes its status in 'statuses'."""
    parts = []
    for block in blocks:
        parts += [f"exec >'{directory}/line-{block.line}.out'", block.text.rstrip("\n")]
        if "read -rs" in block.text:
            parts.append(TYPED)
        parts += [
            f"echo {block.line} $? >>'{directory}/statuses'",
            f"tail -n 1 '{directory}/statuses' | grep -q ' 0$' || exit 1",
        ]
    return "\n".join(parts) + "\n"


def type_into(shell, text, directory, environment, timeout_s=600):
    """The finished shell, which has read 'text' as its terminal. It has no controlling terminal, so
    it does not take this one's."""
    return subprocess.run(
        SHELLS[shell],
        check=False,
        cwd=directory,
        env=environment,
        input=text,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        start_new_session=True,
    )


def paste(blocks, shell, directory, environment, before=""):
    """Runs blocks in one terminal until one fails. The output of each is in line-N.out."""
    statuses = Path(directory) / "statuses"
    statuses.write_text("")
    done = type_into(shell, before + pasted(blocks, directory), directory, environment)
    found = [tuple(map(int, line.split())) for line in statuses.read_text().splitlines()]
    wanted = [(block.line, 0) for block in blocks]
    assert found == wanted, f"{shell}: the block at line {found[-1:]}:\n{done.stderr[-3000:]}"
    return done


def environment(home, endpoint, programs):
    """Nothing of this machine's AWS settings reaches the commands."""
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(home),
        "HISTFILE": "/dev/null",
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
