# SPDX-License-Identifier: MIT
"""Reads the help texts of the programs: for docs/reference.md and the man pages."""

import re
import subprocess


def help_of(program, *words):
    done = subprocess.run([program, *words], check=True, capture_output=True, text=True)
    return done.stdout


def sections(text):
    """(heading, lines) of a help text; the first heading is empty."""
    found = [("", [])]
    for line in text.splitlines():
        if re.match(r"[A-Z].*:$", line):
            found.append((line[:-1], []))
        else:
            found[-1][1].append(line)
    return found


def entries(lines):
    """(name, text) of each entry: a name in the left column, its text in the right one."""
    found = []
    for line in lines:
        left, right = line[:32].strip(), line[32:].strip()
        if line[30:32].strip():
            left, right = line.strip(), ""  # too long for the left column
        if left:
            found.append([left, right])
        elif right:
            found[-1][1] = f"{found[-1][1]} {right}".strip()
    return found


def option_parts(text):
    """(meaning, environment variable, default) of an option's help; without one an empty text."""
    variable = re.search(r" \[(\w+)\]$", text)
    text = text[: variable.start()] if variable else text
    default = re.search(r" \(default (.*)\)$", text)
    text = text[: default.start()] if default else text
    return text, variable.group(1) if variable else "", default.group(1) if default else ""


def command_words(command):
    """The words of a command in the list of commands, without its arguments."""
    return [word for word in command.split() if word.islower() and word.isalpha()]


def all_examples(program, commands):
    """The lines of the examples in the help of each command, each once."""
    found = []
    for command, _ in commands:
        for heading, lines in sections(help_of(program, *command_words(command), "--help")):
            if heading == "Examples":
                found += [line.strip() for line in lines if line.strip()]
    return list(dict.fromkeys(found))


def keys(driver):
    """(introduction, [(section or None, [[key, type, default, meaning]])]) of the configuration."""
    introduction, found = [], [(None, [])]
    for line in help_of(driver, "help", "config").splitlines():
        key = re.match(r"  (\w+) \((.*?)(?:; default: (.*))?\)$", line)
        if line.startswith("["):
            found.append((line, []))
        elif key:
            found[-1][1].append([key.group(1), key.group(2), key.group(3) or "", ""])
        elif line.startswith("      "):
            rows = found[-1][1]
            rows[-1][3] = f"{rows[-1][3]} {line.strip()}".strip()
        elif found == [(None, [])]:
            introduction.append(line)
    return "\n".join(introduction).strip(), found
