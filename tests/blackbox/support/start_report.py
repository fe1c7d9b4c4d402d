# SPDX-License-Identifier: MIT
"""The line of 'prepare' that says where the time of a start went."""

import re

ROUNDING_S = 0.2  # of all parts together


def read_report(output):
    """(seconds in all, {part: seconds}); parts that are not known, '-', are left out."""
    (found,) = re.findall(rb"(?m)^berth: task ready after ([\d.]+) s: (.*)$", output)
    parts = dict(re.findall(r"([a-zA-Z][^,]*?) ([\d.]+)(?:, |$)", found[1].decode()))
    return float(found[0]), {name: float(seconds) for name, seconds in parts.items()}
