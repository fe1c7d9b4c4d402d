# SPDX-License-Identifier: MIT
"""Many jobs at once on one runner's host, against moto: calls counted, memory and CPU of 'prepare';
and what a stage costs that needs no call of AWS. Then the same number of jobs with images of their
own, so that task definitions are registered for them.

Called by './dev bench ecs JOBS', which prints the figures, and by './dev bench', which has them as
JSON. Each job runs a script of its own, and what comes back is compared. The tasks' containers and
the stand-in for AWS share the machine with the drivers, so the times are those of the whole play;
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
from support.crowd_play import busiest_second, private_kib  # noqa: E402
from support.driver import Driver  # noqa: E402
from support.ecs import Cloud, EcsJob, Moto  # noqa: E402
from support.ecs_generated import GeneratedJob, add_images  # noqa: E402

TOOLS = TOP / "build/bench"
ROUNDS = 40
PRIVATE_EVERY_S = 1.0
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
        self.peak = self.private = 0
        self.looked = time.monotonic()
        self.status = None

    def poll(self):
        self.peak = max(self.peak, peak_kib(self.process.pid))
        if time.monotonic() >= self.looked + PRIVATE_EVERY_S:  # costs more than the peak
            self.private = max(self.private, private_kib(self.process.pid))
            self.looked = time.monotonic()
        pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
        if pid:
            self.status = self.process.returncode = os.waitstatus_to_exitcode(status)
            self.seconds = time.monotonic() - self.begun
            self.cpu = usage.ru_utime + usage.ru_stime
            self.log.close()
        return pid != 0


class Play:
    """Jobs on a cloud of their own, below a directory."""

    def __init__(self, scratch):
        self.scratch = scratch
        scratch.mkdir()
        self.moto = Moto(scratch)
        self.cloud = Cloud(self.moto, scratch, str(TOP / "build/release/bin/berth-agent"))
        self.cloud.provisioning_s = self.cloud.pending_s = self.cloud.running_s = 5
        self.driver = Driver(TOP / "build/release/bin/berth-driver", scratch)
        self.jobs = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cloud.stop()
        self.moto.stop()

    def add(self, kind):
        directory = self.scratch / f"job-{len(self.jobs)}"
        directory.mkdir()
        self.jobs.append(kind(self.driver, directory, self.cloud, len(self.jobs)))
        return self.jobs[-1]

    def prepare_all(self):
        """(configuration, Prepare of each job); ends the program if one fails."""
        config = self.driver.config()
        done = running = [Prepare(self.driver.program, config, job) for job in self.jobs]
        while running:
            running = [one for one in running if not one.poll()]
            time.sleep(0.05)
        failed = [j for j, one in zip(self.jobs, done, strict=True) if one.status != 0]
        if failed:
            log = (failed[0].directory / "log").read_text(errors="replace")
            in_groups(self.jobs, lambda job: stage(self.driver, config, job, "cleanup"))
            sys.exit(f"bench: prepare of {len(failed)} jobs failed:\n{log[-2000:]}")
        return config, done

    def clean_up(self, config, mixed):
        in_groups(self.jobs, lambda job: stage(self.driver, config, job, "cleanup"))
        left = self.cloud.running()
        if mixed or left or self.cloud.problems:
            sys.exit(
                f"bench: {len(mixed)} got another's output, {len(left)} tasks left, "
                f"{self.cloud.problems}"
            )


def run(count, scratch):
    with Play(scratch / "prepared") as play:
        for _ in range(count):
            play.add(EcsJob)
        config, done = play.prepare_all()
        mixed = scripts(play.driver, config, play.jobs, "")
        stages = Stages(play.driver, config, play.jobs[0], scratch)
        play.clean_up(config, mixed)
        return {"jobs": count, **figures(play.cloud, done), **stages.figures()}


def run_with_images(count, images, scratch):
    with Play(scratch / "images") as play:
        found = add_images(play.cloud, play.scratch)
        names = [f"nowhere.invalid/job:image-{number}" for number in range(images)]
        for name in names:
            (found.add_busybox(name).root / "name").write_text(name + "\n")
        for number in range(count):
            play.add(GeneratedJob).image(names[number % images])
        config, done = play.prepare_all()
        mixed = scripts(play.driver, config, play.jobs, "cat /name\n")
        play.clean_up(config, mixed)
        return {
            "images": images,
            "registrations": len(play.cloud.definitions.registered),
            "throttled": len(play.cloud.buckets.throttled),
            **figures(play.cloud, done),
        }


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


def scripts(driver, config, jobs, more):
    """Jobs whose script's output, or status, is not their own. 'more': prints the image's name."""
    wrong = []

    def one(job):
        number = json.loads(job.response_file.read_text())["id"]
        script = job.script(f"echo {number}\n{more}exit {number % 7}\n")
        done = stage(driver, config, job, "run", script, "build_script")
        wanted = f"{number % 7}\n" if number % 7 else None
        lines = f"{number}\n" + (f"{job.response['image']['name']}\n" if more else "")
        if done.stdout != lines.encode() or job.exit_code() != wanted:
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


def figures(cloud, done):
    calls = {}
    for operation in OPERATIONS:
        times = [at for at, name in cloud.times if name == operation]
        calls[operation] = {"all": len(times), "busiest_second": busiest_second(times)}
    return {
        "calls": calls,
        "prepare_s": [one.seconds for one in done],
        "prepare_cpu_ms": [one.cpu * 1000 for one in done],
        "prepare_kib": [one.peak for one in done],
        "private_kib": [one.private for one in done],
    }


def show(found):
    print(f"{found['jobs']} jobs; a task takes 15 s to RUNNING, its agent answers after 10 s")
    for row in rows_of(found):
        bound = f"{row.target.words()}: {report.verdict(row)}" if row.target else ""
        print(f"  {row.measure:<70} {report.shown(row.median(row.ours)):>6} {row.unit:<6} {bound}")


def main():
    parser = argparse.ArgumentParser(prog="./dev bench ecs", add_help=False)
    parser.add_argument("jobs", type=int, nargs="?", default=200)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not 1 <= options.jobs <= 2000:
        parser.error("wanted a number of jobs from 1 to 2000")
    if not 0 <= options.images <= 200:
        parser.error("wanted a number of images from 0 to 200")
    with tempfile.TemporaryDirectory(prefix="berth-bench-") as name:
        found = run(options.jobs, Path(name))
        if options.images:
            images = min(options.images, options.jobs)
            found["own"] = run_with_images(options.jobs, images, Path(name))
    if options.json:
        options.json.write_text(json.dumps(found))
    show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
