# SPDX-License-Identifier: MIT
"""A stand-in for GitLab Runner with the custom executor; see gitlab_runner.py."""
