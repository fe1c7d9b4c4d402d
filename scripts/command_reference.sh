# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#? ./dev reference
#? Make docs/reference.md from the help texts of build/release/bin
#?
#? Build first: './dev build'. A test compares the page with the programs.

command_reference() {
    python3 scripts/reference.py build/release/bin >build/reference.md
    mv build/reference.md docs/reference.md
}
