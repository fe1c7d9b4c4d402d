# SPDX-License-Identifier: MIT
"""Fixtures of the tests with a real Docker Engine.

engine     the engine of this tree's tests (support/docker_engine.py), with the busybox image
busybox    the name of that image: busybox alone, no bash, no git
"""

import pytest

from support.docker_engine import BUSYBOX, TOP, Engine, busybox_tar, missing


@pytest.fixture(scope="session")
def engine():
    reason = missing()
    if reason:
        pytest.skip(reason)
    instance = Engine(TOP / "build/engine")
    instance.acquire()
    try:
        if not instance.has_image(BUSYBOX):
            instance.import_image(BUSYBOX, busybox_tar(), ["ENV PATH=/bin IMAGE_SAYS=hello"])
        yield instance
    finally:
        instance.release()


@pytest.fixture(scope="session")
def busybox(engine):
    assert engine.has_image(BUSYBOX)
    return BUSYBOX
