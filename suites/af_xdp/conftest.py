"""The ends of links that tests are run on, and the programs that steer frames into sockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from af_xdp.lab import Ends, Steer, ends_of, kept_pair, queued_pair
from bpf.libbpf import Object, find_object
from net.link import Link
from net.namespace import Namespace, namespace


@pytest.fixture(scope="session")
def private() -> Iterator[Namespace]:
    """Where virtual links live, out of udev's sight."""
    with namespace() as made:
        yield made


@pytest.fixture(scope="session")
def max_frags() -> int:
    """MAX_SKB_FRAGS, a build-time choice since 6.4. The sysctl begins there; only the first namespace has it."""
    try:
        with open("/proc/sys/net/core/max_skb_frags", encoding="ascii") as file:  # noqa: PTH123 - pathlib is slow here
            return int(file.read())
    except OSError:
        return 17


@pytest.fixture(scope="session")
def steer() -> Iterator[Steer]:
    with Object(find_object("af_xdp", "steer")) as loaded:
        yield Steer(loaded)


@pytest.fixture(scope="session")
def small_pair(private: Namespace) -> Iterator[tuple[Link, Link]]:
    with kept_pair(private, "ktxsk", "ktfar") as pair:
        yield pair


@pytest.fixture(scope="session")
def jumbo_pair(private: Namespace) -> Iterator[tuple[Link, Link]]:
    with kept_pair(private, "ktxskj", "ktfarj", mtu=9000) as pair:
        yield pair


@pytest.fixture(scope="session")
def twin_pair(private: Namespace) -> Iterator[tuple[Link, Link]]:
    with kept_pair(private, "ktxskt", "ktfart", far_queues=2) as pair:
        yield pair


@pytest.fixture
def veth(private: Namespace, small_pair: tuple[Link, Link]) -> Iterator[Ends]:
    """A veth, MTU 1500: two queues, fed from one. The test is in its namespace."""
    with private.entered(), ends_of(*small_pair) as ends:
        yield ends


@pytest.fixture
def jumbo(private: Namespace, jumbo_pair: tuple[Link, Link]) -> Iterator[Ends]:
    """The same with MTU 9000."""
    with private.entered(), ends_of(*jumbo_pair) as ends:
        yield ends


@pytest.fixture
def twin(private: Namespace, twin_pair: tuple[Link, Link]) -> Iterator[Ends]:
    """A veth of two queues at both ends: what is sent from one arrives on the other of that number."""
    with private.entered(), ends_of(*twin_pair) as ends:
        yield ends


@pytest.fixture
def short_lived(private: Namespace) -> Iterator[Ends]:
    """A veth of the test's own, that it may take down, change and remove."""
    with private.entered(), queued_pair("ktmortal", "ktmfar") as pair, ends_of(*pair) as ends:
        yield ends
