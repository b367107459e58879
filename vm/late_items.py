"""A session's tests by name, each module collected when the first of its tests is about to run.

pytest's own collection makes every test before the first one runs: 5 s of an emulated guest for 2,000 tests, at every
boot, also where two are to be repeated. The host has collected already and knows the names (harness.machine.session).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from _pytest.runner import collect_one_node  # how pytest itself goes from a node to its children


class Name:
    """What pytest-xdist wants to know of a test that is not there yet."""

    def __init__(self, nodeid: str) -> None:
        self.nodeid = nodeid


class Missing(pytest.Item):
    """Stands for a test that the host collected and this worker did not; it fails."""

    def runtest(self) -> None:
        pytest.fail("the host collected this test and its worker could not: its module reads differently there", False)

    def reportinfo(self) -> tuple[str, int, str]:
        return self.nodeid.partition("::")[0], 0, self.nodeid


class LateItems:
    """The tests of `names`, in that order. Of a list it has what pytest-xdist's worker uses."""

    def __init__(self, session: pytest.Session, names: Sequence[str]) -> None:
        self._session = session
        self._names = names
        self._modules: dict[str, pytest.Collector] = {}
        self._items: dict[str, pytest.Item] = {}

    def look_around(self, nodes: Sequence[pytest.Item | pytest.Collector]) -> None:
        """Find the modules below some folders, without importing any."""
        for node in nodes:
            if isinstance(node, pytest.Directory):
                self.look_around(collect_one_node(node).result)
            elif isinstance(node, pytest.Collector):
                self._modules[node.nodeid] = node

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Name]:
        return map(Name, self._names)

    def __getitem__(self, index: int) -> pytest.Item:
        name = self._names[index]
        if name not in self._items:
            module = self._modules.pop(name.partition("::")[0], None)
            if module is not None:
                self._items |= {item.nodeid: item for item in self._session.genitems(module)}
        if name not in self._items:
            self._items[name] = Missing.from_parent(self._session, name=name, nodeid=name)
        return self._items[name]
