#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check that #include lines point one way in agent/, driver/ and common/.

Fails on a circle of files, on a circle of folders, on an include of a higher layer or of another
backend, and on an X_private.h of another folder. A file's folder is its directory, except for
main.c and cli*.[ch], which are the top of their program.

Usage: check_includes.py [DIRECTORY]
"""

import re
import sys
from pathlib import Path

# From the ground up. A file may include its own layer and those before it. Folders within a layer
# may include each other, one way.
LAYERS = [
    ["common"],
    ["common/runtime"],
    ["agent"],
    ["agent/ipc"],
    ["agent/child"],
    ["agent/monitor"],
    ["agent/session"],
    ["agent/init"],
    ["agent/commands"],
    ["agent/main"],
    ["driver/base"],
    ["driver/schedule"],
    ["driver/config", "driver/runner"],
    ["driver/record"],
    ["driver/history"],
    ["driver/aws"],
    ["driver/registry"],
    ["driver/remote", "driver/backend"],
    ["driver/task"],
    ["driver/warm"],
    ["driver/commands"],
    ["driver/main"],
]
# Folders that include nothing of each other. What two of them use is in their parent folder.
SIBLINGS = ["driver/backend/docker", "driver/backend/ecs", "driver/backend/local"]
TOP_FILES = re.compile(r"(agent|driver)/(main|cli\w*)\.[ch]")
INCLUDE = re.compile(r'^#include "((?:agent|driver|common)/[^"]+)"', re.MULTILINE)


def folder(path):
    parts = path.split("/")
    return f"{parts[0]}/main" if TOP_FILES.fullmatch(path) else "/".join(parts[:-1])


def layer(name):
    """The number of the layer that holds the folder or a parent folder; None: no layer does."""
    for number, names in enumerate(LAYERS):
        if name in names:
            return number
    parent = name.rpartition("/")[0]
    return layer(parent) if "/" in parent else None


def are_siblings(one, other):
    return one != other and one in SIBLINGS and other in SIBLINGS


def read_includes(top):
    return {
        str(path.relative_to(top)): INCLUDE.findall(path.read_text())
        for program in ("agent", "driver", "common")
        for path in sorted((top / program).rglob("*.[ch]"))
    }


def folder_graph(includes):
    graph = {}
    for source, targets in includes.items():
        graph.setdefault(folder(source), set()).update(
            folder(target) for target in targets if folder(target) != folder(source)
        )
    return graph


def circles(graph):
    """One circle, as a list of nodes, for each group of nodes that reach each other."""
    found = []
    for group in components(graph):
        start = min(group)
        found.append(path_between(graph, start, group))
    return sorted(found)


def path_between(graph, start, group):
    """The shortest way from a node back to itself, inside its group."""
    ways = [[start]]
    seen = set()
    while ways:
        way = ways.pop(0)
        for target in sorted(graph.get(way[-1], ())):
            if target == start:
                return [*way, start]
            if target in group and target not in seen:
                seen.add(target)
                ways.append([*way, target])
    raise AssertionError("a node of a component reaches itself")


def components(graph):
    """Sets of nodes that reach each other, or a node that includes itself."""
    reach = {node: reachable(graph, node) for node in graph}
    done = set()
    groups = []
    for node in sorted(graph):
        if node in reach[node] and node not in done:
            group = {other for other in reach[node] if node in reach.get(other, ())}
            done |= group
            groups.append(group)
    return groups


def reachable(graph, node):
    seen = set()
    waiting = list(graph.get(node, ()))
    while waiting:
        target = waiting.pop()
        if target not in seen:
            seen.add(target)
            waiting.extend(graph.get(target, ()))
    return seen


def check(top):
    includes = read_includes(top)
    problems = [f"circle of files: {' -> '.join(way)}" for way in circles(includes)]
    folders = folder_graph(includes)
    problems += [f"circle of folders: {' -> '.join(way)}" for way in circles(folders)]
    for source, targets in includes.items():
        own = layer(folder(source))
        if own is None:
            problems.append(f"{source}: its folder is in no layer of {Path(__file__).name}")
        for target in targets:
            theirs = layer(folder(target))
            programs = {source.split("/")[0], target.split("/")[0]} - {"common"}
            if len(programs) > 1:
                problems.append(f"{source} includes {target} of the other program")
            elif own is not None and theirs is not None and theirs > own:
                problems.append(f"{source} includes {target} of a higher layer")
            if are_siblings(folder(source), folder(target)):
                problems.append(f"{source} includes {target} of another backend")
            if Path(target).stem.endswith("private") and folder(target) != folder(source):
                problems.append(f"{source} includes {target}, private to another folder")
    return problems


def main():
    top = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]
    problems = check(top)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
