# SPDX-License-Identifier: MIT
"""Task definitions as ECS keeps them: what moto lacks (ecs.py), and the rates of all operations.

Definitions that come through the proxy are kept here; moto runs their tasks as those of one
definition in the least form. Those that a test gave to moto itself are moto's own; answer() returns
None for them.
"""

import copy
import functools
import threading
import time
from dataclasses import dataclass, field

from support import ecs_rules
from support.ecs_requests import HOLD_S, refusal

# Name of a bucket: (operations, burst, refill per second), for an account in a region.
RATES = {
    "register": (("RegisterTaskDefinition", "DeregisterTaskDefinition"), 20, 1),
    "definitions": (
        ("DescribeTaskDefinition", "ListTaskDefinitions", "ListTaskDefinitionFamilies"), 50, 20,
    ),
    "delete": (("DeleteTaskDefinitions",), 5, 1),
    "run": (("RunTask", "StopTask", "ExecuteCommand"), 100, 40),
    "tasks": (("DescribeTasks", "ListTasks"), 100, 20),
    "tag": (("TagResource", "UntagResource"), 20, 10),
}  # fmt: skip
MOTO_FAMILY = "moto-s-own"
PAGE = 100
DELETE_AT_ONCE = 10
NOT_FOUND = ("ClientException", "TaskDefinition not found.")
INACTIVE = ("InvalidParameterException", "TaskDefinition is inactive")  # [seen] defang#775
UNKNOWN = ("ClientException", "Unable to describe task definition.")  # [seen]
BUSY = (
    "ClientException",
    "Too many concurrent attempts to create a new revision of the specified family.",
)  # [seen] terraform-provider-aws#9777


class Buckets:
    """Token buckets. throttled: the operations that were refused."""

    def __init__(self, clock=time.monotonic):
        self._clock = clock
        self._lock = threading.Lock()
        self.throttled = []
        self._names, self._state = {}, {}
        for name, (operations, burst, refill) in RATES.items():
            self._names |= dict.fromkeys(operations, name)
            self.set(name, burst, refill)

    def set(self, name, burst, refill):
        """Other numbers for a bucket; it is full again."""
        self._state[name] = [burst, refill, float(burst), self._clock()]

    def take(self, operation):
        """Whether the operation may be done now."""
        name = self._names.get(operation)
        if name is None:
            return True
        with self._lock:
            state = self._state[name]
            burst, refill, level, then = state
            now = self._clock()
            level = min(burst, level + (now - then) * refill)
            allowed = level >= 1
            state[2:] = [level - 1 if allowed else level, now]
            if not allowed:
                self.throttled.append(operation)
        return allowed


@dataclass
class Definition:
    """One revision."""

    arn: str
    family: str
    revision: int
    request: dict
    visible_at: float  # monotonic
    status: str = "ACTIVE"
    registered_at: float = field(default_factory=time.time)
    deregistered_at: float = None
    runnable_until: float = 0  # monotonic: when an INACTIVE one cannot be run any more

    def shown(self):
        found = ecs_rules.read_back(self.request)
        found |= {"taskDefinitionArn": self.arn, "family": self.family, "revision": self.revision}
        found |= {"status": self.status, "registeredAt": self.registered_at}
        account = self.arn.split(":")[4]
        found["registeredBy"] = f"arn:aws:iam::{account}:user/test"
        if self.deregistered_at is not None:
            found["deregisteredAt"] = self.deregistered_at
        return found


class Definitions:
    """See above.

    lag_s          how long a new definition cannot be found
    lag_answer     what RunTask says of one that cannot be found yet: NOT_FOUND or INACTIVE
    inactive_s     how long a deregistered one can still be run
    register_s     how long a registration takes, during which the family takes no other
    registered     the requests that were accepted, in their order
    collisions     how many were refused since another one was under way
    wanted_collisions  a registration takes at least until so many were refused
    """

    def __init__(self, cloud):
        self._cloud = cloud
        self._lock = threading.RLock()
        self._busy = set()
        self._families = {}  # name: [Definition]
        self.lag_s = self.inactive_s = 0
        self.lag_answer = NOT_FOUND
        self.register_s = 0.05
        self.wanted_collisions = 0
        self.registered = []
        self.collisions = 0

    # --- for tests

    def end_lag(self):
        """What was registered so far can be found from now on."""
        with self._lock:
            for rows in self._families.values():
                for row in rows:
                    row.visible_at = 0.0

    def define(self, **request):
        """Registers without a call that is counted or limited; returns the ARN."""
        problem = ecs_rules.definition_problem(request)
        assert problem is None, problem
        return self._add(request, 0).arn

    def all(self):
        """Every revision that was ever registered, in order; those deleted as well."""
        return [revision for revisions in self._families.values() for revision in revisions]

    def age(self, seconds):
        """Makes all revisions so much older."""
        for revision in self.all():
            revision.registered_at -= seconds

    # --- look-ups

    def find(self, name):
        """The revision of an ARN, FAMILY:REVISION or FAMILY (the latest active one); None: none
        that can be seen. Also whether the family is one of ours."""
        family, _, number = name.rpartition("/")[2].partition(":")
        with self._lock:
            ours = family in self._families
            now = time.monotonic()
            seen = [r for r in self._families.get(family, []) if r.visible_at <= now]
            if number:
                found = [r for r in seen if str(r.revision) == number]
            else:
                found = [r for r in seen if r.status == "ACTIVE"]
        return (found[-1] if found else None), ours

    def to_run(self, name):
        """(Definition or None, (code, message) or None) for RunTask."""
        found, ours = self.find(name)
        if not ours:
            return None, None
        if found is None or found.status == "DELETED":
            return None, self.lag_answer
        if found.status != "ACTIVE" and time.monotonic() >= found.runnable_until:
            return None, INACTIVE
        return found, None

    # --- requests

    def answer(self, operation, request):
        """(status, JSON), or None if it is moto's to answer."""
        act = {
            "RegisterTaskDefinition": self._register,
            "DescribeTaskDefinition": self._describe,
            "DeregisterTaskDefinition": self._deregister,
            "DeleteTaskDefinitions": self._delete,
            "ListTaskDefinitions": self._list,
            "ListTaskDefinitionFamilies": self._list_families,
        }.get(operation)
        return act(request) if act else None

    def _register(self, request):
        problem = ecs_rules.definition_problem(request)
        if problem:
            return 400, refusal(*problem)
        family = request["family"]
        with self._lock:
            if family in self._busy:
                self.collisions += 1
                return 400, refusal(*BUSY)
            self._busy.add(family)
        try:
            time.sleep(self.register_s)  # as long as the real one may take
            self._until_refused()
            added = self._add(request, self.lag_s)
        finally:
            with self._lock:
                self._busy.discard(family)
        answer = {"taskDefinition": added.shown()}
        if request.get("tags"):
            answer["tags"] = request["tags"]
        return 200, answer

    def _until_refused(self):
        """Others of the same family have come meanwhile, as many as a test wants."""
        end = time.monotonic() + HOLD_S
        while self.collisions < self.wanted_collisions and time.monotonic() < end:
            time.sleep(0.01)

    def _add(self, request, lag_s):
        family = request["family"]
        with self._lock:
            revisions = self._families.setdefault(family, [])
            revision = len(revisions) + 1
            added = Definition(
                arn=f"{self.moto_arn.rpartition('/')[0]}/{family}:{revision}",
                family=family,
                revision=revision,
                request=copy.deepcopy(request),
                visible_at=time.monotonic() + lag_s,
            )
            revisions.append(added)
            self.registered.append(added.request)
        return added

    @functools.cached_property
    def moto_arn(self):
        """With which moto runs the tasks of all definitions."""
        answer = self._cloud.moto.ecs.register_task_definition(
            family=MOTO_FAMILY,
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            containerDefinitions=[{"name": "container", "image": "image", "memory": 128}],
        )
        return answer["taskDefinition"]["taskDefinitionArn"]

    def _describe(self, request):
        found, ours = self.find(request["taskDefinition"])
        if not ours:
            return None
        if found is None or found.status == "DELETED":
            return 400, refusal(*UNKNOWN)
        answer = {"taskDefinition": found.shown()}
        if "TAGS" in request.get("include", []):
            answer["tags"] = found.request.get("tags", [])
        return 200, answer

    def _deregister(self, request):
        name = request["taskDefinition"]
        if ":" not in name.rpartition("/")[2]:
            return 400, refusal("ClientException", "Missing revision")
        found, ours = self.find(name)
        if not ours:
            return None
        if found is None or found.status != "ACTIVE":
            return 400, refusal(
                "ClientException", "The specified task definition does not exist or is inactive."
            )
        found.status, found.deregistered_at = "INACTIVE", time.time()
        found.runnable_until = time.monotonic() + self.inactive_s
        return 200, {"taskDefinition": found.shown()}

    def _delete(self, request):
        names = request["taskDefinitions"]
        if not 1 <= len(names) <= DELETE_AT_ONCE:
            text = f"taskDefinitions must have 1 to {DELETE_AT_ONCE} members."
            return 400, refusal("InvalidParameterException", text)
        deleted, failures = [], []
        for name in names:
            found, _ = self.find(name)
            if found is None or ":" not in name.rpartition("/")[2]:
                failures.append({"arn": name, "reason": "MISSING"})
            elif found.status not in ("INACTIVE", "DELETE_IN_PROGRESS"):
                reason = "The specified task definition is still in ACTIVE status. "
                reason += "Please deregister the target and try again."
                failures.append({"arn": found.arn, "reason": reason})
            else:
                found.status = "DELETE_IN_PROGRESS"
                deleted.append(found.shown())
                self.end_deletion(found)
        return 200, {"taskDefinitions": deleted, "failures": failures}

    def end_deletion(self, definition):
        """Removes it once no task of it is left."""
        if definition.status == "DELETE_IN_PROGRESS" and not any(
            task.definition is definition and task.status != "STOPPED"
            for task in list(self._cloud.tasks.values())
        ):
            definition.status = "DELETED"

    def _list(self, request):
        family = request.get("familyPrefix")  # the whole name, whatever it is called
        if family is not None and family not in self._families:
            return None
        wanted = request.get("status", "ACTIVE")
        arns = [
            revision.arn
            for name in sorted(self._families)
            if family in (None, name)
            for revision in self._families[name]
            if revision.status == wanted
        ]
        if request.get("sort") == "DESC":
            arns.reverse()
        return 200, _page(arns, request, "taskDefinitionArns")

    def _list_families(self, request):
        prefix, wanted = request.get("familyPrefix", ""), request.get("status", "ALL")
        active = {
            name: any(revision.status == "ACTIVE" for revision in revisions)
            for name, revisions in self._families.items()
            if any(revision.status in ("ACTIVE", "INACTIVE") for revision in revisions)
        }
        others = self._cloud.moto.ecs.list_task_definition_families(familyPrefix=prefix)["families"]
        others = set(others) - {MOTO_FAMILY} - self._families.keys()
        active |= dict.fromkeys(others, True)
        names = sorted(
            name
            for name, is_active in active.items()
            if name.startswith(prefix) and wanted in ("ALL", "ACTIVE" if is_active else "INACTIVE")
        )
        return 200, _page(names, request, "families")


def _page(rows, request, key):
    start = int(request.get("nextToken", "0"))
    end = start + min(request.get("maxResults", PAGE), PAGE)
    return {key: rows[start:end]} | ({"nextToken": str(end)} if end < len(rows) else {})
