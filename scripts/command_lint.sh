# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#? ./dev lint
#? Run the static analysis and the format check alone
#?
#? The same as './dev test format shell python includes cppcheck tidy dockerfiles'.

command_lint() {
    [ $# = 0 ] || usage_error "lint: unexpected argument '$1'"
    exec ./dev test format shell python includes cppcheck tidy dockerfiles
}
