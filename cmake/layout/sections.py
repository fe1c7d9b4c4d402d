#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints early_text.ld from what the programs executed; record.sh calls it.

sections.py (PROGRAM MAP PROFILE... --)...: an unstripped program, its link map, callgrind's files.
"""

import itertools
import re
import subprocess
import sys
from pathlib import Path

# Larger than all the rest, and nearly nothing of it runs: those functions cost their own pages.
LEFT_ALONE = ("aes-gcm-avx512",)
# Executed too, but not in valgrind: its processor has no AVX-512, and it begins after the start.
ALSO = {
    "*(.text.vaes_gcm_*)",
    "*(.text.load_8)",
    "*(.text.__libc_start_main)",
    "*libc.a:__set_thread_area.lo(.text)",
}
HEAD = """\
/* SPDX-License-Identifier: MIT */
/*
 * early_text.ld - what the programs execute in every login and every stage, side by side.
 *
 * The kernel maps 64 KiB of a program's file around whatever is executed. Left where the linker
 * puts them, the few hundred KiB that a session or a stage executes lie all over the program, and
 * most of it ends up in memory. Written by record.sh; a name that is gone does no harm.
 */
SECTIONS
{
    .text.early :
    {"""
TAIL = """\
    }
}
INSERT BEFORE .text;"""


def code_sections(map_path):
    """[(address, length, section, archive member)] of a link map."""
    row = re.compile(r"^ (\.text\S*)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) (\S+)$", re.MULTILINE)
    found = row.finditer(map_path.read_text())
    rows = [(int(m[2], 16), int(m[3], 16), m[1], m[4].split("/")[-1]) for m in found]
    return [entry for entry in rows if entry[0] and entry[1]]


def executed(profiles):
    """Names of functions; callgrind marks recursion by an apostrophe and a number."""
    row = re.compile(r"^c?fn=\(\d+\) (.*?)(?:'\d+)?$", re.MULTILINE)
    return {m[1] for path in profiles for m in row.finditer(path.read_text())}


def as_input(section, member):
    """The linker script's pattern; assembly and main() have sections that others share."""
    if section != ".text":
        return f"*({section})"
    match = re.fullmatch(r"(\w+\.a)\((.*)\)", member)
    return f"*{match[1]}:{match[2]}({section})" if match else None


def wanted(program, map_path, *profiles):
    names = executed(profiles)
    symbols = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in symbols.splitlines()]
    addresses = [int(row[0], 16) for row in rows if len(row) == 3 and row[2] in names]
    found = {
        as_input(section, member)
        for start, length, section, member in code_sections(map_path)
        if any(start <= address < start + length for address in addresses)
        and not any(name in member for name in LEFT_ALONE)
    }
    return found - {None}


def main():
    groups = itertools.groupby(sys.argv[1:], lambda word: word == "--")
    programs = [[Path(word) for word in words] for is_end, words in groups if not is_end]
    print(HEAD)
    agent, driver = (wanted(*paths) | ALSO for paths in programs)
    # What both execute lies in the middle, so that it adjoins what either alone does.
    for some in (agent - driver, agent & driver, driver - agent):
        for pattern in sorted(some):
            print(f"        {pattern}")
    print(TAIL)


if __name__ == "__main__":
    main()
