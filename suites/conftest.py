"""Make each suite importable as a package of its own name, with `bpf` and `net` (shared support) beside them."""

import sys
from pathlib import Path

HERE = str(Path(__file__).resolve().parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)

pytest_plugins = ("faults", "meter")


def pytest_collection_modifyitems(items):
    """Benches of one place (net.lane.Where) after each other: going from one to the next takes longer than a bench."""
    first = {}

    def place(item):
        where = getattr(getattr(item, "callspec", None), "params", {}).get("where")
        return first.setdefault((item.nodeid.partition("::")[0], where) if where else item.nodeid, len(first))

    places = {item.nodeid: place(item) for item in items}
    items.sort(key=lambda item: places[item.nodeid])
