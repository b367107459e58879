"""The programs, loaded once, and a few links in a network namespace of their own serve every test of the suite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from bpf.libbpf import LoadError, Object, find_object, type_size
from net.link import veth_pair
from net.namespace import Namespace, namespace
from xdp_metadata.lab import Lab, Limits
from xdp_metadata.script import Programs


@pytest.fixture(scope="session")
def programs() -> Iterator[Programs]:
    """The loaded programs; skips on a kernel that has no frags-capable XDP programs (before 5.18)."""
    path = find_object("xdp_metadata", "metadata")
    try:
        loaded = Object(path)
    except LoadError as error:
        if "unknown func" in str(error):
            pytest.skip("the kernel has no bpf_xdp_get_buff_len or bpf_xdp_store_bytes (multi-buffer XDP)")
        raise
    with loaded:
        yield Programs(loaded)


@pytest.fixture(scope="session")
def limits(programs: Programs) -> Limits:
    """What the kernel under test takes as metadata."""
    return Limits.of_kernel(programs, type_size("xdp_frame"))


@pytest.fixture(scope="session")
def network() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


@pytest.fixture(scope="session")
def links(programs: Programs, network: Namespace) -> Iterator[Lab]:
    """Two veth pairs. They go with their namespace, where nobody else sees them."""
    with ExitStack() as stack:
        with network.entered():
            left, right = stack.enter_context(veth_pair("left", "right"))
            near, far = stack.enter_context(veth_pair("near", "far"))
        yield Lab(programs, left, right, near, far)


@pytest.fixture
def lab(links: Lab, network: Namespace) -> Iterator[Lab]:
    """The links, nothing seen and every script empty. The test runs in their namespace."""
    with network.entered():
        links.programs.forget()
        yield links
        if links.left.state.mtu != 1500:
            links.carry(1514)
