# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#? ./dev lint
#? Run the static analysis and the format check alone
#?
#? The same as './dev test format shell python cppcheck tidy dockerfiles'.

command_lint() {
    [ $# = 0 ] || usage_error "lint: takes no arguments"
    exec ./dev test format shell python cppcheck tidy dockerfiles
}
