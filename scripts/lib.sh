# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Functions of the commands of ./dev. Sourced in the top directory; 'top' is set.

deps=${BERTH_DEPS_DIR:-$top/build/deps}
venv=$top/build/venv
# The system's Python, even if another one is first in PATH.
python=/usr/bin/python3

say() { printf '%s\n' "$*"; }
die() {
    printf 'dev: %s\n' "$*" >&2
    exit 1
}
usage_error() {
    printf 'dev: %s\n' "$*" >&2
    exit 2
}
have() { command -v "$1" >/dev/null 2>&1; }

# Source files by kind: those in git and new ones.
tracked() { git_here ls-files --cached --others --exclude-standard -- "$@" | existing; }
existing() {
    local path
    while read -r path; do
        if [ -f "$path" ]; then printf '%s\n' "$path"; fi
    done
}
# Under sudo, git refuses the tree because of its owner.
git_here() { git -c safe.directory="$top" "$@"; }
c_files() { tracked '*.c' '*.h'; }
shell_files() { tracked '*.sh' dev .ci/run tests/runner/bin/gitlab-runner; }
python_files() { tracked '*.py'; }

# shellcheck source=scripts/packages.sh
. "$top/scripts/packages.sh"
# shellcheck source=scripts/builds.sh
. "$top/scripts/builds.sh"
