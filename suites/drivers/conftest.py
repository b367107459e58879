"""One load of the programs and one private namespace serve every test; each makes the device it looks at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bpf.libbpf import Object, find_object
from drivers.programs import Programs
from drivers.rigs import Rig, rig_of
from drivers.rows import Row
from net.namespace import Namespace, namespace


@pytest.fixture(scope="session")
def programs() -> Iterator[Programs]:
    with Object(find_object("drivers", "actions")) as loaded:
        yield Programs(loaded)


@pytest.fixture(scope="session")
def private() -> Iterator[Namespace]:
    """Where virtual devices live."""
    with namespace() as made:
        yield made


@pytest.fixture
def rig(device: Row, programs: Programs, private: Namespace) -> Iterator[Rig]:
    """The device of a test's `device` parameter, on the bench."""
    with rig_of(device, programs, private) as made:
        yield made
