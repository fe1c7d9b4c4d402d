# SPDX-License-Identifier: MIT
"""What JUnit reports say: of a run of tests and, where some failed, of their second run.

junit.py counts REPORT [AGAIN]    prints 'PASSED FAILED SKIPPED'
junit.py again REPORT             exit status 0: the tests that failed may run again
junit.py unsteady REPORT AGAIN    prints the tests that failed and passed when they ran again
"""

import re
import sys
import xml.etree.ElementTree as tree

# More than this is no chance.
MOST_AGAIN = 3
# What is seen once is true: memory errors and races do not come each time.
SEEN_ONCE = re.compile(r"[Ss]anitizer")


def read(path):
    """Test to (result, text of the failures). A test with two failures has two entries there."""
    found = {}
    for case in tree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        bad = [*case.findall("failure"), *case.findall("error")]
        result = "failed" if bad else "skipped" if case.find("skipped") is not None else "passed"
        before, text = found.get(name, ("", ""))
        text += "\n".join(f"{row.get('message', '')}\n{row.text or ''}" for row in bad)
        found[name] = ("failed" if "failed" in (before, result) else result, text)
    return found


def failed(report):
    return {name: text for name, (result, text) in report.items() if result == "failed"}


def unsteady(first, again):
    return {
        name: text for name, text in failed(first).items() if again.get(name, "")[0] == "passed"
    }


def main(command, path, second=None):
    first = read(path)
    if command == "again":
        bad = failed(first)
        possible = 0 < len(bad) <= MOST_AGAIN
        sys.exit(0 if possible and not any(map(SEEN_ONCE.search, bad.values())) else 1)
    again = read(second) if second else {}
    if command == "unsteady":
        for name, text in unsteady(first, again).items():
            print(f"{name} - {text.strip().splitlines()[0][:100]}")
        return
    results = [result for result, _ in (first | again).values()]
    print(*(results.count(word) for word in ("passed", "failed", "skipped")))


main(*sys.argv[1:])
