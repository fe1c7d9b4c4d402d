# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#? ./dev demo [--fail] [--full] [--size SIZE]
#? Run one complete GitLab CI job here and show its log and times
#?
#? Builds what is missing, then acts as GitLab Runner: config, prepare, the run stages, cleanup, each
#? as a process, on the driver's 'local' backend. The job clones this repository, compiles a program,
#? writes a few MB of output and uploads an artifact.
#?
#?   --fail        the job's script exits 42: shows what GitLab gets and that nothing is left
#?   --full        show all of the job's output instead of its head and tail
#?   --size SIZE   amount of output (default 3M)
#?
#? Exit status 0: everything was as expected, with --fail too.

command_demo() {
    need_packages demo
    say "building (the first time builds the libraries too):"
    build_preset release
    say
    exec "$python" -B scripts/demo/demo.py "$@"
}
