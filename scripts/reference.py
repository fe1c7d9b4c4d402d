# SPDX-License-Identifier: MIT
"""Prints docs/reference.md, made from what the programs print as help.

Usage: reference.py DIRECTORY, where DIRECTORY has berth-agent and berth-driver.
"""

import sys
from pathlib import Path

from help_texts import all_examples, entries, help_of, keys, option_parts, sections

HEADER = """\
# Reference

All commands, options, environment variables, configuration keys and exit codes. `./dev reference`
makes this page from `--help` and `berth-driver help config`; do not edit it.
"""


def table(heads, rows):
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(cell(text) for text in row) + " |\n" for row in lines)


def cell(text):
    return (
        text.replace("|", "\\|").replace("*", "\\*")
        if "`" not in text
        else text.replace("|", "\\|")
    )


def code(text):
    return f"`{text}`" if text else ""


def option_row(name, text):
    meaning, variable, default = option_parts(text)
    return [code(name), code(variable), default, meaning]


def program_part(program):
    name = program.name
    out = f"\n## {name}\n"
    for heading, lines in sections(help_of(program, "--help")):
        if heading == "":
            usage = [line for line in lines if "berth-" in line and line[:1] in ("U", " ")]
            prose = [line for line in lines if line not in usage]
            out += "\n```\n" + "\n".join(usage) + "\n```\n\n" + "\n".join(prose).strip() + "\n"
        elif heading == "Commands":
            commands = entries(lines)
            out += f"\n### Commands of {name}\n\n"
            out += table(["Command", "Meaning"], [[code(a), b] for a, b in commands])
            shown = "".join(f"{line}\n" for line in all_examples(program, commands))
            out += f"\n### Examples of {name}\n\n```\n{shown}```\n" if shown else ""
        elif heading == "Examples":
            if f"### Examples of {name}" not in out:  # those of each command
                shown = "".join(f"{line.strip()}\n" for line in lines if line.strip())
                out += f"\n### Examples of {name}\n\n```\n{shown}```\n"
        elif heading == "Exit status":
            out += f"\n### Exit status of {name}\n\n"
            out += table(["Status", "Meaning"], [[code(a), b] for a, b in entries(lines)])
        else:
            title = f"Options of {name}" if heading == "Options" else heading
            rows = [option_row(a, b) for a, b in entries(lines)]
            out += f"\n### {title}\n\n" + table(
                ["Option", "Environment", "Default", "Meaning"], rows
            )
    return out


def keys_part(driver):
    introduction, found = keys(driver)
    out = "\n## Configuration file\n\n" + introduction.replace("*", "\\*") + "\n"
    for section, rows in found:
        title = f"`{section}`" if section else "Top of the file"
        shown = [[code(name), kind, default, text] for name, kind, default, text in rows]
        out += f"\n### {title}\n\n" + table(["Key", "Type", "Default", "Meaning"], shown)
    return out


# What --json prints: one object per line. Unknown members are absent. test_answers.py and
# test_history.py compare it with what the programs print.
JSON_OUTPUT = {
    "history": {
        "v": "1: the version of this format",
        "key": "name of the job: job-ID-HASH",
        "job": "GitLab's id of the job",
        "name": "name of the job in the pipeline",
        "project": "path of the project",
        "ref": "branch or tag",
        "url": "the job's page",
        "started_at": "when 'prepare' began, Unix time",
        "ended_at": "when 'cleanup' ended the job, Unix time",
        "backend": "local, docker or ecs; none if no backend was configured",
        "image": "image as the pipeline or the configuration names it",
        "task": "ARN or name of the task",
        "vcpus": "size of the task",
        "memory_gib": "size of the task",
        "spot": "true: the task ran on Fargate Spot",
        "elsewhere": "true: the task did not run on Fargate, so that [Price] does not apply",
        "timeout": "time limit of the job by GitLab, in seconds",
        "result": "success, failed, system_failure, canceled or lost",
        "exit_code": "of the script that failed",
        "failure": "script, memory, setup, prepare, system, timeout, canceled or lost",
        "reason": "the failure as Berth saw it",
        "start": "seconds of its parts: queued, placed, pulled, created, started, login, services",
        "start_seconds": "until the task was ready, images and services included",
        "run_seconds": "sum of the stages after 'prepare'",
        "cpu_seconds": "sum of the stages",
        "peak_bytes": "highest memory of the container, if it has a limit",
        "limit_bytes": "memory limit of the container",
        "process_peak_bytes": "highest memory of one process",
        "oom_kills": "processes that the kernel killed for lack of memory",
        "output_bytes": "sum of the stages",
        "cost": "by [Price]",
        "currency": "[Price] Currency",
        "stages": "in their order, each with stage, result (as in LogFile), exit_code, seconds, "
        "stopped_at (when a stop was requested, Unix time), "
        "cpu_seconds, peak_bytes, limit_bytes, process_peak_bytes, oom_kills, output_bytes and "
        "reason",
    },
    "ps": {
        "job": "name of the job: job-ID-HASH, or exec-...",
        "backend": "local, docker or ecs",
        "task": "ARN or name of the task",
        "state": "as the backend names it",
        "started_at": "Unix time",
        "vcpus": "size of the task",
        "memory_gib": "size of the task",
        "spot": "true: the task runs on Fargate Spot",
        "cost": "so far, by [Price]",
        "currency": "[Price] Currency",
        "name": "name of the job in the pipeline",
        "project": "path of the project",
        "ref": "branch or tag",
        "image": "image as the pipeline names it; of a warm task what [[Warm]] names",
        "url": "the job's page, as the pipeline sets it",
    },
    "gc": {
        "job": "name of the job",
        "backend": "local, docker or ecs",
        "task": "ARN or name of the task",
        "state": "as the backend names it; 'no task': only metadata is left",
        "started_at": "Unix time; 0: not known",
        "stopped": "true: it was stopped, false: 'gc --stop' would stop it",
        "task_definition": "with --task-definitions, whose objects have no job and task: its ARN",
        "removed": "with --task-definitions, true: it was deregistered and deleted",
    },
    "doctor": {
        "section": "heading of the report",
        "finding": "ok, warn, fail or skip",
        "text": "the finding",
        "remedy": "what to do about it",
        "summary": "alone in the last object: the number of findings of each kind",
    },
}


def json_part():
    out = (
        "\n## JSON output\n\nWith `--json` these commands print one object per line. Members that "
        "are not known are absent; further ones may be added. Control characters are escaped.\n"
    )
    for command, members in JSON_OUTPUT.items():
        rows = [[code(name), meaning] for name, meaning in members.items()]
        out += f"\n### `{command} --json`\n\n" + table(["Member", "Meaning"], rows)
    return out


def main():
    directory = Path(sys.argv[1])
    driver, agent = directory / "berth-driver", directory / "berth-agent"
    sys.stdout.write(
        HEADER + program_part(driver) + program_part(agent) + keys_part(driver) + json_part()
    )


if __name__ == "__main__":
    main()
