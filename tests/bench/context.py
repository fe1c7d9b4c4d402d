# SPDX-License-Identifier: MIT
"""What every measure is given."""

import dataclasses
import json
import os
import subprocess
from pathlib import Path

from bench.servers import Fleet


@dataclasses.dataclass
class Context:
    """'rounds' is how often each contestant is measured; 'quick' asks for smaller amounts too."""

    fleet: Fleet
    bin: Path
    tools: Path  # orphans, timed, go-driver
    scratch: Path
    top: Path
    python: Path  # with the packages of the tests
    rounds: int
    quick: bool

    def amount(self, full, quick):
        return quick if self.quick else full

    def interleaved(self, contestants, rounds=None):
        """{name: [value, ...]} of {name: function without arguments}, one of each a round.

        Every other round goes backwards: who comes right after whom must not matter.
        """
        samples = {name: [] for name in contestants}
        for number in range(rounds or self.rounds):
            names = list(contestants) if number % 2 == 0 else list(reversed(contestants))
            for name in names:
                samples[name].append(contestants[name]())
        return samples

    def random_file(self, name, length):
        path = self.scratch / name
        if not path.exists():
            path.write_bytes(os.urandom(length))
        return path

    def run_program(self, name, amount):
        """What tests/bench/NAME.py finds, which runs in the tests' Python."""
        path = self.scratch / f"{name}.json"
        program = self.top / "tests/bench" / f"{name}.py"
        done = subprocess.run(
            [str(self.python), "-B", str(program), str(amount), "--json", str(path)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
        return json.loads(path.read_text())
