# SPDX-License-Identifier: MIT
"""Many jobs at once on one runner's host, against moto: calls counted, memory and CPU of 'prepare'.

Called by './dev bench ecs JOBS'. The tasks' agents and the stand-in for AWS share the machine with
the drivers, so the times are those of the whole play; calls, memory and CPU are the drivers' own.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/blackbox")]

from support.driver import Driver  # noqa: E402
from support.ecs import Cloud, EcsJob, Moto  # noqa: E402


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
        clean(driver, config, jobs)
        left = cloud.running()
        if failed or left or cloud.problems:
            sys.exit(f"bench: {len(failed)} failed, {len(left)} tasks left, {cloud.problems}")
        report(cloud, todo)
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


def report(cloud, done):
    print(f"{len(done)} jobs at once; a task takes 15 s to RUNNING, its agent answers after 10 s")
    for operation in ("RunTask", "DescribeTasks", "StopTask"):
        times = [at for at, name in cloud.times if name == operation]
        print(f"  {operation:<14} {len(times):5d} calls, at most {busiest_second(times)} a second")
    seconds, peaks = [one.seconds for one in done], [one.peak for one in done]
    cpu = [one.cpu * 1000 for one in done]
    print(
        f"  prepare        {statistics.median(seconds):5.1f} s median, {max(seconds):.1f} s slowest"
    )
    print(f"  memory         {statistics.median(peaks):5.0f} KiB median, {max(peaks)} KiB most")
    print(f"  CPU of prepare {statistics.median(cpu):5.1f} ms median, {max(cpu):.1f} ms most")


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
