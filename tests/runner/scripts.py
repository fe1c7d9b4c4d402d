# SPDX-License-Identifier: MIT
"""The scripts that GitLab Runner gives to the run stage, in the shape its bash writer gives them.

A driver sees: an interpreter line, a trap for TERM, options of the shell, and one eval of text in
bash's $'...' quoting whose standard input is an empty pipe.
"""

import string

GREEN, RESET = "\x1b[32;1m", "\x1b[0;m"
_PLAIN = set(string.ascii_letters + string.digits + "_-+=./:,@%^")
_NAMED = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    "'": "\\'",
}


def quote(text):
    """A word of bash: as it is when harmless, else $'...' with bytes outside ASCII as \\xHH."""
    if text and set(text) <= _PLAIN:
        return text
    if not text:
        return "''"
    out = []
    for byte in text.encode():
        char = chr(byte)
        out.append(_NAMED.get(char) or (char if 0x20 <= byte < 0x7F else f"\\x{byte:02x}"))
    return "$'" + "".join(out) + "'"


def wrap(lines, trace=False):
    """A whole script around the lines of a stage."""
    body = quote("".join(line + "\n" for line in lines))
    return "\n".join(
        [
            "#!/usr/bin/env bash",
            "",
            "trap 'exit 1' TERM",
            "",
            *(["set -o xtrace"] if trace else []),
            "if set -o | grep pipefail > /dev/null; then set -o pipefail; fi; set -o errexit",
            "set +o noclobber",
            # The parentheses are the runner's too: without them bash makes every failure a 1.
            f": | (eval {body})",
            "exit 0",
            "",
        ]
    )


def command(*words):
    return " ".join(quote(word) for word in words)


def say(text, colour=GREEN):
    return command("echo", f"{colour}{text}{RESET}")


class StageScripts:
    """Lines of each run stage for one job. None: the runner leaves that stage out."""

    def __init__(self, job, variables, project_dir, cache_dir):
        self.job = job
        self.variables = variables
        self.project_dir = project_dir
        self.tmp_dir = f"{project_dir}.tmp"
        self.cache_file = f"{cache_dir}/{job.project_path}/default/cache.tar"

    def _exports(self, **more):
        """Variables come first in every stage; those of type 'file' are written out."""
        lines = []
        for key, value in {**self.variables, **more}.items():
            if key in self.job.file_variables:
                path = f"{self.tmp_dir}/{key}"
                lines += [
                    command("mkdir", "-p", self.tmp_dir),
                    f"printf '%s' {quote(value)} > {quote(path)}",
                    f"export {key}={quote(path)}",
                ]
            else:
                lines.append(f"export {key}={quote(value)}")
        if "GITLAB_ENV" in self.variables:
            path = quote(self.variables["GITLAB_ENV"])
            lines += [
                command("mkdir", "-p", self.tmp_dir),
                f"touch {path}",
                f'while read -r line; do export "$line"; done < {path}',
            ]
        return lines

    def _in_project(self, **more):
        return [*self._exports(**more), command("cd", self.project_dir)]

    def _helper(self, purpose, *words):
        """The 'gitlab-runner' inside the container moves artifacts and caches, when it is there."""
        helper = self.job.runner_command
        return [
            f"if {command(helper, '--version')} >/dev/null 2>&1; then",
            "  " + command(helper, *words),
            "else",
            "  " + say(f"Missing {helper}. {purpose} is disabled.", "\x1b[0;33m"),
            "fi",
        ]

    def prepare_script(self):
        return ['echo "Running on $(hostname) via stand-in..."']

    def get_sources(self):
        job = self.job
        if not job.repository_url:
            return [
                *self._exports(),
                say("Skipping Git repository setup"),
                command("mkdir", "-p", self.project_dir),
            ]
        template = f"{self.tmp_dir}/git-template"
        config = f"{template}/config"
        add_remote = command("git", "remote", "add", "origin", job.repository_url)
        return [
            *self._exports(GIT_TERMINAL_PROMPT="0", GCM_INTERACTIVE="Never"),
            say("Fetching changes with git depth set to 20..."),
            command("mkdir", "-p", template),
            command("git", "config", "-f", config, "init.defaultBranch", "none"),
            command("git", "config", "-f", config, "fetch.recurseSubmodules", "false"),
            command("git", "config", "-f", config, "gc.autoDetach", "false"),
            *self._own_ca(config),
            command("git", "init", self.project_dir, "--template", template),
            command("cd", self.project_dir),
            f"if {add_remote} >/dev/null 2>&1; then",
            "  " + say("Created fresh repository."),
            "else",
            "  " + command("git", "remote", "set-url", "origin", job.repository_url),
            "fi",
            command(
                "git",
                "-c",
                "http.userAgent=gitlab-runner stand-in",
                "fetch",
                "origin",
                "--no-recurse-submodules",
                "--depth",
                "20",
                "--prune",
                "--quiet",
                f"+{job.sha}:refs/pipelines/815",
            ),
            say(f"Checking out {job.sha[:8]} as detached HEAD (ref is {job.ref})..."),
            command("git", "-c", "submodule.recurse=false", "checkout", "-f", "-q", job.sha),
            command("git", "clean", "-ffdx"),
            *self._submodules(),
        ]

    def _own_ca(self, config):
        """The CA that the runner was configured with, a variable of type 'file'."""
        if "CI_SERVER_TLS_CA_FILE" not in self.job.file_variables:
            return []
        path = f"{self.tmp_dir}/CI_SERVER_TLS_CA_FILE"
        return [command("git", "config", "-f", config, "http.sslCAInfo", path)]

    def _submodules(self):
        if not self.job.submodules:
            return [say("Skipping Git submodules setup")]
        return [
            say("Updating/initializing submodules recursively..."),
            command("git", "submodule", "init"),
            command("git", "submodule", "sync", "--recursive"),
            command("git", "submodule", "update", "--init", "--recursive"),
        ]

    def restore_cache(self):
        if not self.job.cache:
            return None
        return [
            *self._in_project(),
            say("Checking cache for default..."),
            *self._helper(
                "Extracting cache",
                "cache-extractor",
                "--file",
                self.cache_file,
                *_flags("--url", self.job.cache_urls[:1]),
            ),
        ]

    def download_artifacts(self):
        """Only a job with dependencies has some; the stage runs all the same."""
        lines = self._in_project()
        for job in self.job.dependencies:
            words = ("artifacts-downloader", "--url", self.job.artifact_server, "--id", str(job))
            lines += self._helper("Artifacts downloading", *words)
        return lines

    def step_script(self):
        return [*self._in_project(), *self._user_lines(self.job.script)]

    def after_script(self, status):
        if not self.job.after_script:
            return None
        return [
            *self._in_project(CI_JOB_STATUS=status),
            say("Running after script..."),
            *self._user_lines(self.job.after_script),
        ]

    def archive_cache(self):
        if not self.job.cache:
            return None
        return [
            *self._in_project(),
            say("Creating cache default..."),
            *self._helper(
                "Creating cache",
                "cache-archiver",
                "--file",
                self.cache_file,
                *_flags("--url", self.job.cache_urls[1:]),
                *_flags("--path", self.job.cache),
            ),
        ]

    def upload_artifacts(self):
        if not self.job.artifacts:
            return None
        return [
            *self._in_project(),
            say("Uploading artifacts..."),
            *self._helper(
                "Uploading artifacts",
                "artifacts-uploader",
                "--url",
                self.job.artifact_server,
                "--id",
                str(self.job.id),
                *_flags("--path", self.job.artifacts),
            ),
        ]

    def cleanup_file_variables(self):
        files = [f"{self.tmp_dir}/{key}" for key in self.job.file_variables]
        return [command("rm", "-f", path) for path in files] or [":"]

    def _user_lines(self, lines):
        """Each line is shown in green before it runs, as in GitLab's log."""
        out = []
        for line in lines:
            first, *rest = line.split("\n")
            out += [say(f"$ {first}" + (" # collapsed multi-line command" if rest else "")), line]
        return out


def _flags(flag, values):
    return [word for value in values for word in (flag, value)]
