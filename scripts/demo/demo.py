# SPDX-License-Identifier: MIT
"""One complete GitLab CI job through berth-driver, and what must be true afterwards.

Called by './dev demo'. The stand-in for GitLab Runner is tests/runner, the processes are counted
by tests/blackbox/support. Exit status 0: everything happened as it should (with --fail: the job
failed as it should), 1: something did not.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests"), str(TOP / "tests/blackbox"), str(Path(__file__).parent)]

from local_driver import driver_command  # noqa: E402
from runner.gitlab_runner import Runner, print_phases  # noqa: E402
from runner.job import Job  # noqa: E402
from support import processes  # noqa: E402
from terminal import DemoLog  # noqa: E402

FAIL_CODE = 42
# What the job builds: a program on the part of common/ that needs no library.
PARTS = ("buffer", "error", "fd", "nearest", "options", "parse")
SOURCES = " ".join(["scripts/demo/bulk.c", *(f"common/{part}.c" for part in PARTS)])
COMPILE = (
    "cc -std=gnu17 -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -I. -include common/banned.h"
    f" -o out/bulk {SOURCES}"
)


def arguments():
    parser = argparse.ArgumentParser(prog="./dev demo")
    parser.add_argument("--fail", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--size", default="3M")
    parser.add_argument("--bin", type=Path, default=TOP / "build/release/bin")
    parser.add_argument("--server", type=Path, default=TOP / "build/demo")
    return parser.parse_args()


def serve_repository(server):
    """A bare copy of this clone, the part of the GitLab server; returns (address, commit).

    git refuses a repository that belongs to another user, and under sudo this clone does: the copy
    belongs to the user who runs the demo.
    """
    trust = server / "gitconfig"
    trust.write_text("[safe]\n\tdirectory = *\n")
    env = dict(os.environ, GIT_CONFIG_GLOBAL=str(trust))

    def git(*words):
        return subprocess.run(
            ["git", *words], cwd=TOP, env=env, check=True, text=True, stdout=subprocess.PIPE
        ).stdout.strip()

    try:
        commit = git("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    except subprocess.CalledProcessError:
        sys.exit("demo: no commit here; the demo clones this repository, so run it in a git clone")
    if git("status", "--porcelain", "--untracked-files=no"):
        print(f"demo: the job clones commit {commit[:8]}; what is not committed is not in it")
    bare = server / "repository.git"
    shutil.rmtree(bare, ignore_errors=True)
    git("clone", "--quiet", "--bare", "--no-hardlinks", str(TOP), str(bare))
    subprocess.run(["git", "-C", str(bare), "update-ref", "refs/heads/demo", commit], check=True)
    subprocess.run(
        ["git", "-C", str(bare), "config", "uploadpack.allowAnySHA1InWant", "true"], check=True
    )
    return f"file://{bare}", commit


def demo_job(options, address, commit, mark):
    script = [
        'echo "PID $$, user $(id -un), home $HOME"',
        "mkdir -p out kept",
        COMPILE,
        f"./out/bulk --size {options.size} --mark {mark} | tee out/bulk.txt",
        'printf "bulk-sha256 %s\\n" "$(sha256sum < out/bulk.txt | cut -d " " -f 1)"',
        "date > kept/when",
    ]
    if options.fail:
        script = [
            'echo "a job that leaves a process behind and fails"',
            "sleep 1000 >/dev/null 2>&1 &",
            'echo "left behind: $!"',
            f"exit {FAIL_CODE}",
            'echo "this line must never run"',
        ]
    return Job(
        script=script,
        after_script=['echo "after_script ran, CI_JOB_STATUS=$CI_JOB_STATUS"'],
        variables={"DEMO": 'it\'s a "quoted" value\nof two lines'},
        file_variables={"DEMO_FILE": "content of a file variable\n"},
        artifacts=["out"],
        artifacts_when="always",
        cache=["kept"],
        artifact_server=f"file://{options.server / 'artifacts'}",
        runner_command=str(TOP / "tests/runner/bin/gitlab-runner"),
        repository_url=address,
        sha=commit,
        project_path="group/berth",
        name="demo",
        timeout_s=600.0,
    )


class Checks:
    """What must hold, one line each."""

    def __init__(self, colour):
        self._colour = colour
        self.failed = 0

    def that(self, holds, text):
        word, code = ("ok", "32") if holds else ("NOT", "31")
        self.failed += not holds
        print(f"\x1b[{code};1m{word:>4}\x1b[0m  {text}" if self._colour else f"{word:>4}  {text}")


def nothing_running(detector, deadline_s=5.0):
    """Real processes: everything below this one, orphans included."""
    end = time.monotonic() + deadline_s
    while detector.leftovers() and time.monotonic() < end:
        time.sleep(0.02)
    left = detector.leftovers()
    for pid in left:
        print(f"      still running: {pid} {processes.command_line(pid)}")
    processes.end(left)
    return not left


def check_stages(checks, result, options):
    names = [phase.name for phase in result.phases]
    when = "on_failure" if options.fail else "on_success"
    wanted = [
        "config",
        "prepare",
        "prepare_script",
        "get_sources",
        "restore_cache",
        "download_artifacts",
        "step_script",
        "after_script",
        *([] if options.fail else ["archive_cache"]),
        f"upload_artifacts_{when}",
        "cleanup_file_variables",
        "cleanup",
    ]
    checks.that(names == wanted, f"{len(wanted)} stages ran in the runner's order")
    others = [phase for phase in result.phases if phase.name != "step_script" and phase.exit_code]
    checks.that(
        not others,
        "every stage but the script exited 0" if options.fail else "no stage but the script failed",
    )


def check_success(checks, result, log, options):
    checks.that(
        result.status == "success", f"job status: {result.status} {result.message}".rstrip()
    )
    checks.that(
        log.bulk_sha256 is not None and log.bulk_sha256 == log.promised_sha256,
        f"{log.bulk_bytes:,} bytes of output arrived as the job wrote them: sha256 "
        f"{(log.bulk_sha256 or 'none')[:16]}, by the job {(log.promised_sha256 or 'none')[:16]}",
    )
    artifact = options.server / "artifacts/4711/out/bulk"
    works = (
        os.access(artifact, os.X_OK)
        and subprocess.run(
            [artifact, "--size", "100"], stdout=subprocess.DEVNULL, check=False
        ).returncode
        == 0
    )
    checks.that(works, f"artifact uploaded, and runs here: {artifact}")


def check_failure(checks, result, log):
    left = re.search(rb"^left behind: (\d+)$", bytes(log.text), re.MULTILINE)
    checks.that(
        left is not None and not processes.alive(int(left[1])),
        f"the process that the script left behind is gone: {left[1].decode() if left else 'none'}",
    )
    checks.that(
        result.status == "failed" and result.reason == "script_failure",
        f"job status: {result.status}, {result.reason}",
    )
    step = result.phase("step_script")
    text = step.build_exit_code if step else ""
    checks.that(text == str(FAIL_CODE), f"BUILD_EXIT_CODE_FILE holds '{text}'")
    checks.that(result.exit_code == FAIL_CODE, f"exit code for GitLab: {result.exit_code}")
    checks.that(
        b"this line must never run\n" not in log.text.replace(b"$ echo", b""),
        "nothing of the script ran after its failure",
    )


def main():
    options = arguments()
    colour = sys.stdout.isatty()
    options.server.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(options.server / "artifacts", ignore_errors=True)
    address, commit = serve_repository(options.server)
    processes.become_subreaper()
    detector = processes.LeftoverDetector()
    mark = os.urandom(8).hex()
    scratch = Path(tempfile.mkdtemp(prefix="berth-demo-"))
    try:
        with open(options.server / "job.log", "wb") as copy:
            sys.stdout.flush()
            log = DemoLog(sys.stdout.buffer, copy, mark, colour, options.full)
            log.note(
                f"Running with a stand-in for GitLab Runner{', --fail' if options.fail else ''}"
            )
            runner = Runner(
                driver_command(options.bin / "berth-driver", scratch),
                demo_job(options, address, commit, mark),
                log.write,
                on_section=log.section,
                directory=scratch,
                graceful_kill_timeout_s=20.0,
            )
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: runner.cancel())
            result = runner.run()
            log.flush()
        return report(options, result, log, detector, scratch, colour)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def report(options, result, log, detector, scratch, colour):
    print()
    print_phases(result)
    for line in result.runner_log:
        if not line.startswith("debug:"):
            print(f"runner's log: {line}")
    print()
    checks = Checks(colour)
    check_stages(checks, result, options)
    if options.fail:
        check_failure(checks, result, log)
    else:
        check_success(checks, result, log, options)
    status = "failed" if options.fail else "success"
    checks.that(
        f"after_script ran, CI_JOB_STATUS={status}\n".encode() in log.text,
        f"after_script ran and saw CI_JOB_STATUS={status}",
    )
    checks.that(nothing_running(detector), "nothing is left running")
    metadata = scratch / "metadata"
    checks.that(not metadata.exists() or not any(metadata.iterdir()), "no task metadata is left")
    tasks = scratch / "tasks"
    kept = [path.name for path in tasks.iterdir()] if tasks.exists() else []
    checks.that(kept in ([], ["cache"]), "the task's directories are gone, the cache is kept")
    print(f"\nThe whole log: {options.server / 'job.log'}")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
