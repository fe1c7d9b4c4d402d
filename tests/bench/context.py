# SPDX-License-Identifier: MIT
"""What every measure is given."""

import dataclasses
import os
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
