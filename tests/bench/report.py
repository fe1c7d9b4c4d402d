# SPDX-License-Identifier: MIT
"""Rows and plots as Markdown, JSON and SVG."""

import json
from pathlib import Path

from bench import figures, svg

MARK = "<!-- What follows is written by './dev bench'. -->"


def shown(value):
    """A figure with three significant digits, never as a power of ten."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.2g}"


def verdict(row):
    return {True: "met", False: "**missed**", None: ""}[row.met()]


def contestant_cell(row, name):
    values = row.samples[name]
    return f"{shown(row.median(name))} ± {figures.spread(values) * 100:.0f} %"


def summary_table(rows):
    lines = ["| Measure | Target | Measured | |", "|---|---|---|---|"]
    for row in rows:
        if row.target is None:
            continue
        unit = f" {row.unit}" if row.target.absolute else ""
        versus = f" ({row.peer})" if row.peer and not row.target.absolute else ""
        value = shown(row.value()) + (unit or " x") if row.value() is not None else "not measured"
        lines.append(
            f"| {row.measure} | {row.target.words()}{unit}{versus} | {value} | {verdict(row)} |"
        )
    return lines


def detail_table(rows):
    lines = [
        "| Measure | Unit | Contestant | Median ± spread | Rounds | Ours / this |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        for name, values in row.samples.items():
            ratio = (
                ""
                if name == row.ours
                else shown(figures.paired_ratio(row.samples[row.ours], values))
            )
            lines.append(
                f"| {row.measure} | {row.unit} | {name} | {contestant_cell(row, name)} "
                f"| {len(values)} | {ratio} |"
            )
    return lines


def notes(rows):
    return [f"- {row.measure}: {row.note}" for row in rows if row.note]


def markdown(rows, growths, machine, options):
    parts = [MARK, "", "## Targets", "", *summary_table(rows), "", "## All figures", ""]
    parts += [
        "Spread is half the distance of the quartiles. 'Ours / this' is the median of the rounds' "
        "ratios.",
        "",
    ]
    parts += [*detail_table(rows), "", *notes(rows), "", "## Growth", ""]
    for growth in growths:
        parts += [f"![{growth.title}](benchmarks/{growth.name}.svg)", ""]
    parts += ["## Machine", "", f"Measured with `./dev bench{options}`.", ""]
    parts += ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in machine.items())]
    return "\n".join(parts) + "\n"


def as_json(rows, growths, machine):
    return {
        "machine": machine,
        "rows": [
            {
                "measure": row.measure,
                "unit": row.unit,
                "samples": row.samples,
                "ours": row.ours,
                "peer": row.peer,
                "ratio": row.ratio(),
                "target": row.target.words() if row.target else None,
                "met": row.met(),
            }
            for row in rows
        ],
        "growth": [
            {"name": growth.name, "title": growth.title, "lines": growth.lines}
            for growth in growths
        ],
    }


def write(document, directory, rows, growths, machine, options):
    """Replaces what stands behind the mark in 'document'; the text before it is kept."""
    document = Path(document)
    before = document.read_text().split(MARK)[0] if document.exists() else "# Benchmarks\n\n"
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for growth in growths:
        (directory / f"{growth.name}.svg").write_text(svg.plot(growth))
    text = json.dumps(as_json(rows, growths, machine), indent=1) + "\n"
    (directory / "figures.json").write_text(text)
    document.write_text(before + markdown(rows, growths, machine, options))
