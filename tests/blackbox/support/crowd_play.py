# SPDX-License-Identifier: MIT
"""Many 'prepare's at once on a Crowd (ecs_crowd.py), some of them in warm tasks."""

import math
import os
import re
import select
import subprocess
import threading
import time

from support.ecs import EcsJob
from support.ecs_crowd import FAMILY

ADDRESS = re.compile(r"task has the address (\S+) after ([\d.]+) s")
SAMPLE_S = 3.0
DRAIN_S = 120.0


def private_kib(pid):
    """Memory that the process has written, 0 when it is gone.

    Not its clean pages: those are the program's file, which all drivers map. They count as private
    only while no other driver runs, 4 MiB and more of them.
    """
    try:
        with open(f"/proc/{pid}/smaps_rollup") as rows:
            return sum(int(row.split()[1]) for row in rows if row.startswith("Private_Dirty:"))
    except OSError:
        return 0


def busiest_second(times):
    """The most calls within any second."""
    times = sorted(times)
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - 1:
            first += 1
        most = max(most, last - first + 1)
    return most


def percentile(values, part):
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


class Prepared:
    """One 'prepare': how it ended, what it printed, and its private memory."""

    def __init__(self, play, job):
        self.job = job
        self.private, self.begun = 0, time.monotonic()
        with open(job.directory / "log", "wb") as log:
            self.process = subprocess.Popen(
                [*play.before, play.driver.program, "--config", play.config, "custom", "prepare"],
                env=job.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.fd = os.pidfd_open(self.process.pid)

    def end(self):
        self.status = self.process.wait()
        self.seconds = time.monotonic() - self.begun
        os.close(self.fd)
        self.log = (self.job.directory / "log").read_text(errors="replace")

    @property
    def is_warm(self):
        return "berth: warm task " in self.log


class Play:
    """'before': words in front of the driver's."""

    def __init__(self, crowd, driver, directory, count, warm=0, before=()):
        self.crowd, self.driver, self.warm, self.before = crowd, driver, warm, before
        self.jobs = []
        for number in range(count):
            (directory / f"job-{number}").mkdir()
            job = EcsJob(driver, directory / f"job-{number}", crowd, 10000 + number)
            self.jobs.append(job)
        if warm:
            driver.settings["Warm"] = [{"TaskDefinition": FAMILY, "Tasks": warm, "MaxAge": "1h"}]
            driver.settings["WarmPool"] = {"MaxTasks": 2 * warm}
        self.env = driver.environment(**crowd.environment())
        self.config = driver.config()

    def fill(self):
        """Launches the warm tasks."""
        self._warm()

    def _warm(self, *words):
        words = ("--config", self.config, "warm", *words)
        done = self.driver.run(*words, env=self.env, config=False, before=self.before)
        assert done.returncode == 0, done.stderr

    def prepare(self):
        """Prepared of each job, once all have ended."""
        running = {one.fd: one for one in (Prepared(self, job) for job in self.jobs)}
        everyone = list(running.values())
        poller = select.poll()
        for fd in running:
            poller.register(fd, select.POLLIN)
        sampled = time.monotonic()
        while running:
            for fd, _ in poller.poll(1000):
                poller.unregister(fd)
                running.pop(fd).end()
            if time.monotonic() >= sampled + SAMPLE_S:
                for one in running.values():
                    one.private = max(one.private, private_kib(one.process.pid))
                sampled = time.monotonic()
        return everyone

    def latencies(self, prepared):
        """Seconds from the moment when ECS knew the address of a task until its driver did."""
        tasks = {task.address: task for task in self.crowd.tasks.values()}
        found = []
        for one in prepared:
            match = ADDRESS.search(one.log)
            if match:
                task = tasks[match[1]]
                after = float(match[2]) - (task.address_at - task.created)
                found.append(max(0.0, after))
        return found

    def clean_up(self):
        """Every cleanup has to succeed, and no task may be left."""
        failed, jobs = [], list(self.jobs)
        lock = threading.Lock()

        def work():
            while True:
                with lock:
                    if not jobs:
                        return
                    job = jobs.pop()
                words = ("--config", self.config, "custom", "cleanup")
                done = self.driver.run(*words, env=job.env, config=False, before=self.before)
                if done.returncode != 0:
                    failed.append(done.stderr)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == [], failed[0]
        # A process that replaces warm tasks may go on after the pool is empty.
        end = time.monotonic() + DRAIN_S
        while self.warm and self.crowd.running() and time.monotonic() < end:
            self._warm("--drain")
        left = [self.crowd.tasks[arn] for arn in self.crowd.running()]
        assert left == [], [(task.request["startedBy"], task.status) for task in left]
