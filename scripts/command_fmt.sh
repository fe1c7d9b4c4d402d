# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#? ./dev fmt [--check]
#? Format C and Python sources in place; --check only reports
#?
#? clang-format 14 with .clang-format, ruff with pyproject.toml.

command_fmt() {
    need_packages format
    need_venv
    case ${1:-} in
    '')
        # Twice: trailing comments may need a second pass.
        c_files | xargs -r clang-format-14 -i
        c_files | xargs -r clang-format-14 -i
        python_files | xargs -r "$venv/bin/ruff" format --quiet
        ;;
    --check)
        c_files | xargs -r clang-format-14 --dry-run -Werror
        python_files | xargs -r "$venv/bin/ruff" format --check --quiet --diff
        ;;
    *) usage_error "fmt: unknown option '$1'; './dev fmt --help'" ;;
    esac
}
