# SPDX-License-Identifier: MIT
"""The runner's jobs run shells of this machine: with an empty home directory."""

from support.home import empty_home  # noqa: F401
