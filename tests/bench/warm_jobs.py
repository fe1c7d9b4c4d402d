# SPDX-License-Identifier: MIT
"""Jobs in warm tasks against jobs that start cold: containers of a real engine, and ECS as moto
plays it (15 s to RUNNING).

Called by './dev bench' (measures/warm.py), or as a program (ROUNDS [--json PATH]). Needs root, for
the engine of the tests, and the tests' Python packages. CPU is that of the drivers alone: of
'prepare', and of the process that it starts to replace the task, which this process adopts.
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests"), str(TOP / "tests/blackbox")]

from runner.gitlab_runner import Runner  # noqa: E402
from runner.job import Job as RunnerJob  # noqa: E402
from support.docker_engine import BUSYBOX, Engine, busybox_tar, missing  # noqa: E402
from support.driver import Driver, Job, write_config  # noqa: E402
from support.ecs import FAMILY, Cloud, EcsJob, Moto  # noqa: E402
from support.waiting import until  # noqa: E402

PROGRAM = TOP / "build/release/bin/berth-driver"
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
DEADLINE_S = 120


def ready(driver):
    texts = [path.read_text() for path in driver.metadata.glob("warm-*.json")]
    return sum(json.loads(text)["warm"]["ready_at"] > 0 for text in texts)


def prepare(driver, config, job):
    """(milliseconds, CPU milliseconds) of one 'prepare'."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [PROGRAM, "--config", config, "custom", "prepare"],
        env=job.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    taken = time.perf_counter() - begun
    if process.returncode != 0:
        raise RuntimeError(text.decode())
    return text.decode(), taken * 1000, (usage.ru_utime + usage.ru_stime) * 1000


def adopted_cpu_ms():
    """CPU of the process that replaces the task, with those that it waited for; at its end."""
    _, _, usage = os.wait4(-1, 0)
    return (usage.ru_utime + usage.ru_stime) * 1000


class Docker:
    def __init__(self, engine, directory):
        self.driver = Driver(PROGRAM, directory)
        self.driver.settings |= {
            "Backend": "docker",
            "Docker": {"Host": engine.url, "Image": BUSYBOX},
            "Helper": {"Use": "never", "Busybox": "none"},
        }
        self.cold = write_config(directory / "cold.toml", self.driver.settings)
        self.driver.settings["Warm"] = [{"Image": BUSYBOX, "Tasks": 1}]
        self.warm = self.driver.config()
        self.directory, self.number = directory, 0

    def run(self, *words):
        subprocess.run([PROGRAM, "--config", self.warm, *words], check=True, capture_output=True)

    def job(self):
        self.number += 1
        directory = self.directory / f"job-{self.number}"
        directory.mkdir()
        return Job(self.driver, directory, self.number)

    def one(self, config):
        job = self.job()
        text, wall, cpu = prepare(self.driver, config, job)
        is_warm = "warm task" in text
        if is_warm != (config == self.warm):
            raise RuntimeError(text)
        if is_warm:
            cpu += adopted_cpu_ms()
        subprocess.run(
            [PROGRAM, "--config", config, "custom", "cleanup"], env=job.env, check=True,
            capture_output=True,
        )  # fmt: skip
        return wall, cpu

    def whole(self, config):
        """Milliseconds of an empty job, all stages."""
        self.number += 1
        log = bytearray()
        job = RunnerJob(script=["true"], id=self.number)
        job.variables = {"GIT_STRATEGY": "none"}
        runner = Runner([str(PROGRAM), "--config", str(config), "custom"], job, log.extend)
        result = runner.run()
        if result.status != "success":
            raise RuntimeError(log.decode(errors="replace"))
        if config == self.warm:
            adopted_cpu_ms()
        return sum(phase.seconds for phase in result.phases) * 1000

    def samples(self, rounds):
        found = {name: {"cold": [], "warm": []} for name in ("prepare_ms", "cpu_ms", "job_ms")}
        self.run("warm")
        for _ in range(rounds):
            for name, config in (("cold", self.cold), ("warm", self.warm)):
                until(lambda: ready(self.driver) == 1, DEADLINE_S, "a warm task")
                wall, cpu = self.one(config)
                found["prepare_ms"][name].append(wall)
                found["cpu_ms"][name].append(cpu)
                until(lambda: ready(self.driver) == 1, DEADLINE_S, "a warm task")
                found["job_ms"][name].append(self.whole(config))
        self.run("warm", "--drain")
        return found


def on_docker(rounds, scratch):
    engine = Engine(TOP / "build/engine")
    engine.acquire()
    try:
        if not engine.has_image(BUSYBOX):
            engine.import_image(BUSYBOX, busybox_tar(), ["ENV PATH=/bin IMAGE_SAYS=hello"])
        return Docker(engine, scratch).samples(rounds)
    finally:
        engine.release()


def on_ecs(rounds, scratch):
    """Milliseconds of each 'prepare' that claims a task."""
    moto = Moto(scratch)
    cloud = Cloud(moto, scratch, str(TOP / "build/release/bin/berth-agent"))
    cloud.provisioning_s, cloud.pending_s, cloud.running_s = 5, 5, 5
    driver = Driver(PROGRAM, scratch)
    found = []
    try:
        jobs = []
        for number in range(rounds):
            directory = scratch / f"ecs-{number}"
            directory.mkdir()
            jobs.append(EcsJob(driver, directory, cloud, number))
        driver.settings["Warm"] = [{"TaskDefinition": FAMILY, "Tasks": rounds}]
        driver.settings["WarmPool"] = {"MaxTasks": 2 * rounds}
        config = driver.config()
        environment = driver.environment(**cloud.environment())
        words = [PROGRAM, "--config", config, "warm"]
        subprocess.run(words, env=environment, check=True, capture_output=True)
        for job in jobs:
            text, wall, _ = prepare(driver, config, job)
            if "warm task" not in text:
                raise RuntimeError(text)
            found.append(wall)
        for job in jobs:
            driver.run("--config", config, "custom", "cleanup", env=job.env, config=False)
        subprocess.run([*words, "--drain"], env=environment, check=True, capture_output=True)
        return found
    finally:
        cloud.stop()
        moto.stop()


def main():
    parser = argparse.ArgumentParser(prog="warm_jobs.py")
    parser.add_argument("rounds", type=int, nargs="?", default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if missing():
        sys.exit(missing())
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory(prefix="berth-bench-") as name:
        found = on_docker(options.rounds, Path(name))
    with tempfile.TemporaryDirectory(prefix="berth-bench-") as name:
        found["ecs_ms"] = on_ecs(min(options.rounds, 5), Path(name))
    if options.json:
        options.json.write_text(json.dumps(found))
    else:
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
