# SPDX-License-Identifier: MIT
"""Many jobs at once on one runner's host, against moto: calls counted, memory and CPU of 'prepare';
and what a stage costs that needs no call of AWS.

Called by './dev bench ecs JOBS'. The tasks' agents and the stand-in for AWS share the machine with
the drivers, so the times are those of the whole play; calls, memory and CPU are the drivers' own.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests"), str(TOP / "tests/blackbox")]

from bench.clients import timed  # noqa: E402
from support.driver import Driver  # noqa: E402
from support.ecs import Cloud, EcsJob, Moto  # noqa: E402

TOOLS = TOP / "build/bench"
ROUNDS = 40
START_MS, PREPARE_CPU_MS, MEMORY_KIB = 5, 50, 8 * 1024  # what each has to stay below


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
        stages = Stages(driver, config, jobs[0], scratch)
        clean(driver, config, jobs)
        left = cloud.running()
        if failed or left or cloud.problems:
            sys.exit(f"bench: {len(failed)} failed, {len(left)} tasks left, {cloud.problems}")
        report(cloud, todo)
        stages.report()
    finally:
        cloud.stop()
        moto.stop()


def clean(driver, config, jobs):
    def one(job):
        words = ("--config", config, "custom", "cleanup")
        driver.run(*words, env=job.env, config=False)

    for start in range(0, len(jobs), 20):
        threads = [threading.Thread(target=one, args=(job,)) for job in jobs[start : start + 20]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


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

    def report(self):
        config, run = self.rows["config"], self.rows["run"]
        print("one stage at a time, medians")
        row("config", statistics.median(wall for wall, _, _ in config), "ms", START_MS)
        row("run until it connects", statistics.median(self.connects), "ms", START_MS)
        row("config, memory", max(kib for _, _, kib in config), "KiB", MEMORY_KIB)
        row("run, memory", max(kib for _, _, kib in run), "KiB", MEMORY_KIB)
        wall, cpu = (statistics.median(one[n] for one in run) for n in (0, 1))
        print(f"  run of an empty script, whole: {wall:.1f} ms, {cpu:.1f} ms of CPU")


def row(name, value, unit, target):
    verdict = "met" if value < target else "NOT MET"
    print(f"  {name:<24} {value:8.1f} {unit:<4} target below {target} {unit}: {verdict}")


def report(cloud, done):
    print(f"{len(done)} jobs at once; a task takes 15 s to RUNNING, its agent answers after 10 s")
    for operation in ("RunTask", "DescribeTasks", "StopTask"):
        times = [at for at, name in cloud.times if name == operation]
        print(f"  {operation:<14} {len(times):5d} calls, at most {busiest_second(times)} a second")
    seconds = [one.seconds for one in done]
    print(
        f"  prepare        {statistics.median(seconds):5.1f} s median, {max(seconds):.1f} s slowest"
    )
    row("waiting driver, memory", max(one.peak for one in done), "KiB", MEMORY_KIB)
    cpu = [one.cpu * 1000 for one in done]
    row("prepare, CPU, median", statistics.median(cpu), "ms", PREPARE_CPU_MS)
    row("prepare, CPU, most", max(cpu), "ms", PREPARE_CPU_MS)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    if not 1 <= count <= 2000:
        print("bench: wanted a number of jobs from 1 to 2000", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="berth-bench-") as name:
        run(count, Path(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
