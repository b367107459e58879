"""One load of the programs and one rack of devices serve every test."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import pytest
from bpf.libbpf import Object, find_object
from drivers.programs import Programs
from drivers.rack import Outlet, Rack
from drivers.rig import Rig
from drivers.rows import Row
from net.xdp import Mode

_FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out tests of devices that are not in the table: on a board it is one interface."""
    items[:] = [item for item in items if not item.name.endswith("[NOTSET]")]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session")
def programs() -> Iterator[Programs]:
    with Object(find_object("drivers", "actions")) as loaded:
        yield Programs(loaded)


@pytest.fixture(scope="session")
def rack(programs: Programs) -> Iterator[Rack]:
    with contextlib.closing(Rack(programs)) as devices:
        yield devices


@pytest.fixture
def device(request: pytest.FixtureRequest, rack: Rack) -> Row:
    """The row of a test's parameter; of a board's interface, with all that was learned of it."""
    row: Row = request.param
    return rack.learned(row)


@pytest.fixture
def rig(device: Row, rack: Rack, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """The device of a test's `device` parameter, up, MTU 1500; a new one after a test that failed."""
    ready = False
    try:
        with rack.on_bench(device) as made:
            ready = True
            yield made
    finally:
        if not ready or request.node.stash.get(_FAILED, False):
            rack.discard(device)


@functools.cache
def _has_function(name: str) -> bool:
    with open("/proc/kallsyms", encoding="ascii") as file:  # noqa: PTH123 - pathlib is slow here
        return any(line.split()[2] == name for line in file)


@pytest.fixture(autouse=True)
def needs_native(request: pytest.FixtureRequest) -> None:
    """Skip what needs native XDP where this kernel's driver does not have it yet."""
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    row: Row | None = parameters.get("device")
    if row is None:
        return
    native = parameters.get("mode", Mode.NATIVE) is Mode.NATIVE
    if native and row.native_symbol and not _has_function(row.native_symbol):
        pytest.skip(f"this kernel's {row.driver} has no native XDP ({row.native_symbol})")


@pytest.fixture
def outlet(rig: Rig, rack: Rack) -> Outlet:
    """A veth beside the device, to redirect to, or from."""
    return rack.outlet(rig.row)
