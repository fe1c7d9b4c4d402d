# SPDX-License-Identifier: MIT
"""What was measured: samples of several contestants taken in turn, and what they say.

Samples of one round were taken one after the other, so a machine that is busy for a while slows
all of them: the ratio of a row is therefore the median of the rounds' ratios, not the ratio of
medians that may come from different rounds.
"""

import dataclasses
import statistics


@dataclasses.dataclass
class Target:
    """'ratio' is the most (or with at_least the least) that ours / the peer's may be.

    With 'absolute', it is a ceiling for our own figure, in the row's unit.
    """

    ratio: float
    at_least: bool = False
    absolute: bool = False

    def met(self, value):
        return value >= self.ratio if self.at_least else value <= self.ratio

    def words(self):
        bound = "at least" if self.at_least else "at most"
        return f"{bound} {self.ratio:g}" + ("" if self.absolute else " x")


@dataclasses.dataclass
class Row:
    """One line of the report; samples[contestant] is a list with one value a round."""

    measure: str
    unit: str
    samples: dict
    ours: str = "berth-agent"
    peer: str | None = None
    target: Target | None = None
    note: str = ""

    def median(self, contestant):
        return statistics.median(self.samples[contestant])

    def ratio(self):
        """Ours / the peer's, or None."""
        if self.peer is None or not self.samples.get(self.peer):
            return None
        return paired_ratio(self.samples[self.ours], self.samples[self.peer])

    def value(self):
        """What the target is about."""
        if self.target is not None and self.target.absolute:
            return self.median(self.ours)
        return self.ratio()

    def met(self):
        """True, False, or None without a target or a peer to compare with."""
        value = self.value()
        return None if self.target is None or value is None else self.target.met(value)


@dataclasses.dataclass
class Growth:
    """A plot: lines[contestant] is a list of (x, y)."""

    name: str
    title: str
    x_label: str
    y_label: str
    lines: dict
    log_x: bool = False


def paired_ratio(ours, peers):
    ratios = [own / other for own, other in zip(ours, peers, strict=True) if other > 0]
    return statistics.median(ratios) if ratios else None


def spread(values):
    """Half the distance of the quartiles, as a part of the median: 0.05 means 5 %."""
    middle = statistics.median(values)
    if len(values) < 2 or middle == 0:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / middle
