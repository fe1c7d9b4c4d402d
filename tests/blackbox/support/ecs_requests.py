# SPDX-License-Identifier: MIT
"""What a test does to single requests of the driver (ecs.py): faults, and gates that hold them."""

import threading
from dataclasses import dataclass, field

HOLD_S = 60.0


@dataclass
class Fault:
    """What happens to one request instead of, or before, the usual.

    operation  its name; "": any
    status, body, headers   an answer of this kind instead of moto's
    done       ... after moto did its part
    failures   for RunTask: an answer of success with these failures and no task
    reset      the connection is reset: "before" moto sees the request, or "after" it did its part
    raw        an answer of success with these bytes, after moto did its part
    missing    for DescribeTasks: the task is not known yet
    delay_s    the answer takes so long
    times      how many requests it serves
    """

    operation: str = ""
    status: int = 0
    body: dict = None
    headers: dict = field(default_factory=dict)
    done: bool = False
    failures: list = None
    reset: str = ""
    raw: bytes = None
    missing: bool = False
    delay_s: float = 0.0
    times: int = 1


def throttled(operation, times=1):
    return Fault(
        operation,
        status=400,
        body={"__type": "ThrottlingException", "message": "Rate exceeded"},
        times=times,
    )


class Gate:
    """Holds one request of one job: "before" moto sees it, or "after" moto did its part.

    reached is set when the request is there; it goes on when open is, or when the test ends.
    """

    def __init__(self, job_id, operation, when):
        self.job_id, self.operation, self.when = str(job_id), operation, when
        self.taken = False
        self.reached, self.open, self.passed = (threading.Event() for _ in range(3))

    def hold(self):
        self.reached.set()
        self.open.wait(HOLD_S)


def refusal(code, message):
    return {"__type": code, "message": message}


def job_of(request):
    """The GitLab id in startedBy: "berth/OWNER/job-ID-HASH"."""
    words = request.get("startedBy", "").rpartition("/")[2].split("-")
    return words[1] if len(words) > 1 else None
