# SPDX-License-Identifier: MIT
"""Runs the measures and writes the report: called by './dev bench', whose help says more."""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests")]

from bench import report  # noqa: E402
from bench.context import Context  # noqa: E402
from bench.measures import (  # noqa: E402
    connections,
    crowd,
    docker_jobs,
    driver,
    ecs,
    idle,
    images,
    limits,
    login,
    reaping,
    stages,
    start,
    throughput,
    upload,
    warm,
)
from bench.servers import Fleet  # noqa: E402

MEASURES = (
    limits,
    throughput,
    upload,
    login,
    start,
    idle,
    reaping,
    connections,
    docker_jobs,
    driver,
    stages,
    images,
    ecs,
    warm,
    crowd,
)


def parse(words):
    parser = argparse.ArgumentParser(prog="./dev bench", add_help=False)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", default="")
    options = parser.parse_args(words)
    names = {module.NAME: module for module in MEASURES}
    wanted = options.only.split(",") if options.only else list(names)
    unknown = [name for name in wanted if name not in names]
    if unknown or (options.rounds is not None and not 1 <= options.rounds <= 1000):
        parser.error(f"--only takes {', '.join(names)}; --rounds 1 to 1000")
    options.modules = [names[name] for name in wanted]
    return options


def first_line(command):
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    return (shown.stdout + shown.stderr).strip().splitlines()[0]


def package(name):
    command = ["dpkg-query", "-W", "-f=${Version}", name]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def machine():
    model = [line for line in open("/proc/cpuinfo") if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    names = ("openssh-server", "openssh-client", "dropbear-bin", "tini", "dumb-init")
    return {
        "Date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "Processor": model[0].split(":", 1)[1].strip() if model else platform.machine(),
        "Cores": str(os.cpu_count()),
        "Memory": f"{memory:.0f} GiB",
        "Kernel": platform.release(),
        "Load at the start": f"{os.getloadavg()[0]:.1f}",
        "Commit": first_line(["git", "-C", str(TOP), "describe", "--always", "--dirty"]),
        **{name: package(name) for name in names},
        "Go": first_line(["go", "version"]),
        "x/crypto": (TOP / "tests/bench/go/go.mod").read_text().split("crypto ")[1].split()[0],
    }


def measure_all(options, scratch):
    bin_directory = TOP / "build/release/bin"
    context = Context(
        fleet=Fleet(bin_directory, scratch),
        bin=bin_directory,
        tools=TOP / "build/bench",
        scratch=scratch,
        top=TOP,
        python=TOP / "build/venv/bin/python",
        rounds=options.rounds or (3 if options.quick else 15),
        quick=options.quick,
    )
    rows, growths = [], []
    try:
        for module in options.modules:
            started = time.monotonic()
            print(f"  {module.NAME:<12} ", end="", flush=True)
            found_rows, found_growths = module.measure(context)
            print(f"{time.monotonic() - started:5.0f} s")
            rows += found_rows
            growths += found_growths
    finally:
        context.fleet.close()
    return rows, growths


def main():
    options = parse(sys.argv[1:])
    about = machine()
    with tempfile.TemporaryDirectory(prefix="berth-bench-") as name:
        rows, growths = measure_all(options, Path(name))
    whole = not options.quick and not options.only
    document = TOP / "docs/benchmarks.md" if whole else TOP / "build/bench/benchmarks.md"
    words = "".join(f" {word}" for word in sys.argv[1:])
    report.write(document, document.parent / "benchmarks", rows, growths, about, words)
    print()
    print("\n".join(report.summary_table(rows)))
    print(f"\nall figures: {document.relative_to(TOP)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
