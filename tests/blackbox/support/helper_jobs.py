# SPDX-License-Identifier: MIT
"""Jobs with a helper container: names of their images, and whole jobs of the runner."""

import os
import secrets

from runner import job as runner_job


def RunnerJob(**how):  # noqa: N802 as the class
    """With an id of its own, since workers share the engine."""
    how.setdefault("id", secrets.randbelow(10**9))
    return runner_job.Job(token=secrets.token_hex(10), **how)


TAG = os.environ.get("PYTEST_XDIST_WORKER", "gw0")  # workers share the engine
HELPER = f"berth-test/helper:{TAG}"
