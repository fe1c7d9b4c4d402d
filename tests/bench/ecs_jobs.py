# SPDX-License-Identifier: MIT
"""Many jobs at once on one runner's host, against moto: calls counted, memory and CPU of 'prepare';
and what a stage costs that needs no call of AWS.

Called by './dev bench ecs JOBS', which prints the figures, and by './dev bench', which has them as
JSON. Each job runs a script of its own, and what comes back is compared. The tasks' agents and the
stand-in for AWS share the machine with the drivers, so the times are those of the whole play;
calls, memory and CPU are the drivers' own.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests"), str(TOP / "tests/blackbox")]

from bench import report  # noqa: E402
from bench.clients import timed  # noqa: E402
from bench.measures.ecs import rows_of  # noqa: E402
from support.driver import Driver  # noqa: E402
from support.ecs import Cloud, EcsJob, Moto  # noqa: E402

TOOLS = TOP / "build/bench"
ROUNDS = 40
OPERATIONS = ("RunTask", "DescribeTasks", "StopTask")


def peak_kib(pid):
    """VmHWM of a process that still runs, 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    rows = [line.split()[1] for line in text.splitlines() if line.startswith("VmHWM:")]
    return int(rows[0]) if rows else 0


class Prepare:
    """One 'prepare' under way."""

    def __init__(self, program, config, job):
        self.log = open(job.directory / "log", "wb")
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [program, "--config", config, "custom", "prepare"],
            env=job.env,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )
        self.peak = 0
        self.status = None

    def poll(self):
        self.peak = max(self.peak, peak_kib(self.process.pid))
        pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
        if pid:
            self.status = self.process.returncode = os.waitstatus_to_exitcode(status)
            self.seconds = time.monotonic() - self.begun
            self.cpu = usage.ru_utime + usage.ru_stime
            self.log.close()
        return pid != 0


def busiest_second(times):
    """The most calls within any second."""
    return max((sum(1 for t in times if start <= t < start + 1) for start in times), default=0)


def run(count, scratch):
    moto = Moto(scratch)
    cloud = Cloud(moto, scratch, str(TOP / "build/release/bin/berth-agent"))
    cloud.provisioning_s, cloud.pending_s, cloud.running_s = 5, 5, 5
    driver = Driver(TOP / "build/release/bin/berth-driver", scratch)
    try:
        jobs = []
        for number in range(count):
            directory = scratch / f"job-{number}"
            directory.mkdir()
            jobs.append(EcsJob(driver, directory, cloud, number))
        config = driver.config()
        todo = running = [Prepare(driver.program, config, job) for job in jobs]
        while running:
            running = [one for one in running if not one.poll()]
            time.sleep(0.05)
        failed = [job for job, one in zip(jobs, todo, strict=True) if one.status != 0]
        mixed = [] if failed else scripts(driver, config, jobs)
        stages = Stages(driver, config, jobs[0], scratch)
        in_groups(jobs, lambda job: stage(driver, config, job, "cleanup"))
        left = cloud.running()
        if failed or mixed or left or cloud.problems:
            sys.exit(
                f"bench: {len(failed)} failed, {len(mixed)} got another's output, "
                f"{len(left)} tasks left, {cloud.problems}"
            )
        return figures(cloud, todo, stages)
    finally:
        cloud.stop()
        moto.stop()


def stage(driver, config, job, *words):
    return driver.run("--config", config, "custom", *words, env=job.env, config=False)


def in_groups(jobs, act):
    """act(job) for all, twenty at a time."""
    for start in range(0, len(jobs), 20):
        threads = [threading.Thread(target=act, args=(job,)) for job in jobs[start : start + 20]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def scripts(driver, config, jobs):
    """Jobs whose script's output, or status, is not their own."""
    wrong = []

    def one(job):
        number = json.loads(job.response_file.read_text())["id"]
        script = job.script(f"echo {number}; exit {number % 7}\n")
        done = stage(driver, config, job, "run", script, "build_script")
        wanted = f"{number % 7}\n" if number % 7 else None
        if done.stdout != f"{number}\n".encode() or job.exit_code() != wanted:
            wrong.append(job)

    in_groups(jobs, one)
    return wrong


class Stages:
    """'config', and 'run' up to its connection and with a script of nothing, one at a time."""

    def __init__(self, driver, config, job, scratch):
        self.words = [str(driver.program), "--config", str(config), "custom"]
        self.env, self.scratch = job.env, scratch
        script = scratch / "empty"
        script.write_text(":\n")
        self.run_words = [*self.words, "run", str(script), "build_script"]
        self.rows = {
            "config": self._timed([*self.words, "config"]),
            "run": self._timed(self.run_words),
        }
        (path,) = self._metadata(driver, job)
        self.connects = self._to_connection(path)

    @staticmethod
    def _metadata(driver, job):
        number = json.loads(job.response_file.read_text())["id"]
        return list(driver.metadata.glob(f"job-{number}-*.json"))

    def _timed(self, words):
        """(milliseconds, CPU milliseconds, KiB) of each round."""
        found = [timed(TOOLS, words, self.scratch, self.env) for _ in range(ROUNDS)]
        return [(wall * 1000, cpu * 1000, kib) for wall, cpu, kib in found]

    def _to_connection(self, path):
        """Milliseconds from the start of 'run' until it connects: to us, for a while."""
        saved = path.read_bytes()
        found = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            host, port = listener.getsockname()
            path.write_text(json.dumps({**json.loads(saved), "host": host, "port": port}))
            for _ in range(ROUNDS):
                begun = time.perf_counter()
                process = subprocess.Popen(
                    self.run_words, env=self.env, stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip
                link, _ = listener.accept()
                found.append((time.perf_counter() - begun) * 1000)
                process.kill()
                process.wait()
                link.close()
        path.write_bytes(saved)
        return found

    def figures(self):
        found = {"connect_ms": self.connects}
        for name, taken in self.rows.items():
            found[f"{name}_ms"], _, found[f"{name}_kib"] = map(list, zip(*taken, strict=True))
        return found


def figures(cloud, done, stages):
    calls = {}
    for operation in OPERATIONS:
        times = [at for at, name in cloud.times if name == operation]
        calls[operation] = {"all": len(times), "busiest_second": busiest_second(times)}
    return {
        "jobs": len(done),
        "calls": calls,
        "prepare_s": [one.seconds for one in done],
        "prepare_cpu_ms": [one.cpu * 1000 for one in done],
        "prepare_kib": [one.peak for one in done],
        **stages.figures(),
    }


def show(found):
    print(f"{found['jobs']} jobs; a task takes 15 s to RUNNING, its agent answers after 10 s")
    for row in rows_of(found):
        bound = f"{row.target.words()}: {report.verdict(row)}" if row.target else ""
        print(f"  {row.measure:<58} {report.shown(row.median(row.ours)):>6} {row.unit:<6} {bound}")


def main():
    parser = argparse.ArgumentParser(prog="./dev bench ecs", add_help=False)
    parser.add_argument("jobs", type=int, nargs="?", default=200)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not 1 <= options.jobs <= 2000:
        parser.error("wanted a number of jobs from 1 to 2000")
    with tempfile.TemporaryDirectory(prefix="berth-bench-") as name:
        found = run(options.jobs, Path(name))
    if options.json:
        options.json.write_text(json.dumps(found))
    show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
