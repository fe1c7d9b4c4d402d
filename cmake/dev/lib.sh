# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the commands of ./dev share. Sourced with the top directory as working directory; 'top' is set.

deps=${BERTH_DEPS_DIR:-$top/build/deps}
venv=$top/build/venv
# The machine's own Python, whatever another one stands first in PATH.
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

# Source files by kind, as git knows them; new files count before they are added. '|| true': none.
tracked() { git_here ls-files --cached --others --exclude-standard -- "$@" | existing; }
existing() {
    local path
    while read -r path; do
        if [ -f "$path" ]; then printf '%s\n' "$path"; fi
    done
}
# git refuses a tree of another owner, which is what sudo makes of one.
git_here() { git -c safe.directory="$top" "$@"; }
c_files() { tracked '*.c' '*.h'; }
shell_files() { tracked '*.sh' dev .ci/run tests/runner/bin/gitlab-runner; }
python_files() { tracked '*.py'; }

# shellcheck source=cmake/dev/packages.sh
. "$top/cmake/dev/packages.sh"
# shellcheck source=cmake/dev/builds.sh
. "$top/cmake/dev/builds.sh"
