# SPDX-License-Identifier: MIT
"""A driver's pool of warm tasks in containers of an engine."""

import json
import os
import secrets

from support import processes
from support.driver import Job
from support.waiting import until

DEADLINE_S = 120


def until_replaced(driver):
    """No process of this driver runs: one that replaces a claimed task may not have its turn yet,
    and would launch into a pool that was drained."""

    def lines():
        found = map(processes.command_line, processes.descendants(os.getpid()))
        return [line for line in found if line.split()[0].endswith("berth-driver")]

    place = str(driver.directory)
    until(lambda: not any(place in line for line in lines()), DEADLINE_S, "the replacements")


class Pool:
    """A driver with one [[Warm]] of the busybox image."""

    def __init__(self, driver, engine, directory, image):
        self.driver, self.engine, self.directory = driver, engine, directory
        self.entry = {"Image": image, "Tasks": 2}
        self.driver.settings["Warm"] = [self.entry]
        self.driver.settings["WarmPool"] = {"MaxTasks": 8}
        self.jobs = []

    def warm(self, *words, good=True, **how):
        done = self.driver.run("warm", *words, **how)
        assert (done.returncode == 0) == good, done.stderr
        return done

    def job(self, **how):
        number = secrets.randbelow(10**9)
        directory = self.directory / f"job-{number}"
        directory.mkdir()
        job = Job(self.driver, directory, number, **how)
        self.jobs.append(job)
        job.key = lambda: next(
            (path.stem for path in self.driver.metadata.glob(f"job-{number}-*.json")), None
        )
        return job

    def prepared(self, good=True, **how):
        job = self.job()
        done = job.stage("prepare", **how)
        assert (done.returncode == 0) == good, done.stderr
        return job, done

    def records(self, prefix="warm-"):
        found = {}
        for path in self.driver.metadata.glob(f"{prefix}*.json"):
            try:
                found[path.stem] = json.loads(path.read_text())
            except FileNotFoundError:
                continue  # claimed meanwhile
        return found

    def ready(self):
        return {key: text for key, text in self.records().items() if text["warm"]["ready_at"] > 0}

    def containers(self):
        """The tasks of all containers, running or not."""
        path = "/containers/json?all=1&filters=" + json.dumps(
            {"label": [self.driver.label]}, separators=(",", ":")
        ).replace('"', "%22").replace("{", "%7B").replace("}", "%7D")
        return sorted({each["Labels"]["berth.job"] for each in self.engine.good("GET", path)})

    def until_ready(self, count):
        until(lambda: len(self.ready()) == count, DEADLINE_S, f"{count} ready tasks")

    def counted(self):
        """Each container is in exactly one record, under the name of its task."""
        tasks = [
            json.loads(path.read_text())["job"] for path in self.driver.metadata.glob("*.json")
        ]
        return sorted(tasks) == self.containers()

    def end(self):
        for job in self.jobs:
            done = job.stage("cleanup")
            assert done.returncode == 0, done.stderr
        until_replaced(self.driver)
        self.driver.config()
        self.warm("--drain")
        assert self.containers() == []
        assert [path.name for path in self.driver.metadata.glob("*") if path.suffix] == []
