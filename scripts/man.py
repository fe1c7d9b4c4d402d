# SPDX-License-Identifier: MIT
"""Writes the man pages from what the programs print as help.

Usage: man.py DIRECTORY OUTPUT VERSION DATE, where DIRECTORY has berth-agent and berth-driver.
Makes berth-driver.1, berth-agent.1 and fargate.toml.5 in OUTPUT.
"""

import re
import sys
import textwrap
from pathlib import Path

from help_texts import all_examples, entries, help_of, keys, option_parts, sections

SEE = {
    "berth-driver": ["berth-agent(1)", "fargate.toml(5)"],
    "berth-agent": ["berth-driver(1)"],
    "fargate.toml": ["berth-driver(1)"],
}
SHORT = {
    "berth-driver": "run GitLab CI jobs in Fargate tasks, containers or processes",
    "berth-agent": "init process and SSH server of a GitLab CI job's container",
    "fargate.toml": "configuration file of berth-driver",
}


def escaped(text):
    """Text that man(7) shows as it is, in lines of the length that mandoc's lint asks for."""
    return "\n".join(guarded(line) for line in textwrap.wrap(in_roff(text), 78))


def guarded(line):
    """Not read as a request."""
    return f"\\&{line}" if line.startswith((".", "'")) else line


def in_roff(text):
    for plain, roff in [
        ("\\", "\\e"),
        ("'", "\\(aq"),
        ("`", "\\(ga"),
        ("~", "\\(ti"),
        ("^", "\\(ha"),
    ]:
        text = text.replace(plain, roff)
    return text


def exact(text):
    """Words that are typed: hyphens are minus signs."""
    return guarded(in_roff(text)).replace("-", "\\-")


def item(term, text):
    return f".TP\n.B {exact(term)}\n{escaped(text)}\n"


def block(lines):
    return ".nf\n" + "".join(f"{exact(line)}\n" for line in lines) + ".fi\n"


def paragraphs(text):
    parts = [" ".join(part.split()) for part in text.strip().split("\n\n")]
    return "\n.PP\n".join(escaped(part) for part in parts if part) + "\n"


def option_text(text):
    meaning, variable, default = option_parts(text)
    meaning = sentence(meaning) + (f" Default: {default}." if default else "")
    return meaning + (f" Environment: {variable}." if variable else "")


def sentence(text):
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else f"{text}."


def title(name, section, version, date):
    words = f'.TH {exact(name.upper())} {section} "{date}" "berth {version}" "Berth"\n'
    return f"{words}.SH NAME\n{exact(name)} \\- {escaped(SHORT[name])}\n"


def see_also(name):
    pages = [
        re.sub(r"(.*)\((\d)\)", lambda m: f".BR {exact(m[1])} ({m[2]})", page) for page in SEE[name]
    ]
    return ".SH SEE ALSO\n" + " ,\n".join(pages) + "\n"


def synopsis(lines):
    usages = [line.removeprefix("Usage:").strip() for line in lines]
    return ".SH SYNOPSIS\n" + "\n.br\n".join(exact(usage) for usage in usages) + "\n"


def rest(program, heading, lines, commands):
    """One section of the help after its beginning."""
    if heading in ("Commands", "Exit status"):
        body = "".join(item(a, sentence(b)) for a, b in entries(lines))
        return f".SH {heading.upper()}\n" + body
    if heading == "Examples":
        shown = all_examples(program, commands) if commands else [x.strip() for x in lines if x]
        return ".SH EXAMPLES\n" + block(shown)
    head = ".SH OPTIONS\n" if heading == "Options" else f".SS {escaped(heading)}\n"
    return head + "".join(item(a, option_text(b)) for a, b in entries(lines))


def variables(program):
    found = []
    for heading, lines in sections(help_of(program, "--help"))[1:]:
        if heading in ("Commands", "Examples", "Exit status"):
            continue
        for name, text in entries(lines):
            _, variable, _ = option_parts(text)
            option = re.search(r"--[\w-]+", name)
            if variable and option:
                found.append(
                    item(variable, f"The same as {option[0]}; the option takes precedence.")
                )
    return ".SH ENVIRONMENT\n" + "".join(found) if found else ""


def program_page(program, version, date):
    name = program.name
    parts = sections(help_of(program, "--help"))
    commands = next((entries(lines) for heading, lines in parts if heading == "Commands"), [])
    intro = parts[0][1]
    usage = [line for line in intro if re.match(r"(Usage:| {6,}) *berth-", line)]
    prose = "\n".join(line for line in intro if line not in usage)
    out = title(name, 1, version, date) + synopsis(usage) + ".SH DESCRIPTION\n" + paragraphs(prose)
    late = ("Examples", "Exit status")
    out += "".join(rest(program, h, lines, commands) for h, lines in parts[1:] if h not in late)
    out += variables(program)
    out += "".join(rest(program, h, lines, commands) for h, lines in parts[1:] if h in late)
    if name == "berth-driver":
        out += ".SH FILES\n" + item("/etc/gitlab-runner/fargate.toml", "Configuration.")
        out += item("/var/lib/berth", "State of running jobs, of a driver that runs as root.")
    return out + see_also(name)


def keys_page(driver, version, date):
    introduction, found = keys(driver)
    out = title("fargate.toml", 5, version, date) + ".SH DESCRIPTION\n" + paragraphs(introduction)
    out += ".SH KEYS\n"
    for section, rows in found:
        if not rows:
            continue
        out += f".SS {escaped(section or 'Top of the file')}\n"
        for key, kind, default, meaning in rows:
            out += item(
                key, f"{sentence(meaning)} ({kind}{'; default: ' if default else ''}{default})"
            )
    example = [
        "[Fargate]",
        '  Cluster = "gitlab-runner-dev"',
        '  Region = "ap-northeast-1"',
        '  Subnets = ["subnet-0123456789abcdef0"]',
        '  SecurityGroups = ["sg-0123456789abcdef0"]',
        '  TaskDefinition = "runner-image"',
    ]
    return out + ".SH EXAMPLES\n" + block(example) + see_also("fargate.toml")


def main():
    directory, output, version, date = Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:5]
    driver, agent = directory / "berth-driver", directory / "berth-agent"
    output.mkdir(parents=True, exist_ok=True)
    for program in (driver, agent):
        (output / f"{program.name}.1").write_text(program_page(program, version, date))
    (output / "fargate.toml.5").write_text(keys_page(driver, version, date))


if __name__ == "__main__":
    main()
