# SPDX-License-Identifier: MIT
"""Waiting for a condition with a deadline. No test sleeps to wait for something."""

import time

POLL_S = 0.01


def until(condition, deadline_s=100.0, what="the condition"):
    """Polls condition() until it is true and returns its value.

    Fails the test when deadline_s seconds have passed; 'what' names the thing waited for.
    """
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"{what}: not within {deadline_s:g} s")
        time.sleep(POLL_S)
