"""One load of the BPF machine serves every test of the suite."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from bpf.libbpf import LoadError, Object, find_object, type_size
from xdp_multibuf.machine import Limits, Machine, adjust_meta, frame_of
from xdp_multibuf.model import Behaviour
from xdp_multibuf.redirect import Redirects, Street, street

# `--fuzz MINUTES`: without it there is no test to report as skipped.
collect_ignore = [] if os.environ.get("KTRIAL_FUZZ_MINUTES") else ["test_fuzz.py"]


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """The loaded machine; skips on a kernel that has no frags-capable XDP programs (before 5.18)."""
    path = find_object("xdp_multibuf", "machine")
    try:
        loaded = Object(path)
    except LoadError:
        if not _has_frags():
            pytest.skip("the kernel has no BPF_F_XDP_HAS_FRAGS (needs bpf_xdp_get_buff_len)")
        raise
    with loaded:
        yield Machine(loaded)


def _has_frags() -> bool:
    """Whether the kernel has the helper that came with BPF_F_XDP_HAS_FRAGS."""
    with open("/proc/kallsyms", encoding="ascii") as file:  # noqa: PTH123 - pathlib is slow here
        return any(" bpf_xdp_get_buff_len" in line for line in file)


@pytest.fixture(scope="session")
def limits() -> Limits:
    """Frame limits of the kernel under test."""
    return Limits.of_kernel(type_size("skb_shared_info"), type_size("xdp_frame"))


@pytest.fixture(scope="session")
def behaviour(machine: Machine) -> Behaviour:
    """What the kernel under test does where kernels differ: one small case for each."""
    more_than_32 = machine.run(frame_of(60), adjust_meta(-36)).results == (0,)
    splits = not machine.run(frame_of(256), split=128).error
    return Behaviour(metadata_limit=255 if more_than_32 else 32, splits=splits)


@pytest.fixture(scope="session")
def header_split(machine: Machine) -> None:
    """Skip unless ctx_in's data_end may choose the linear part (bpf_prog_test_run_xdp).

    A kernel without it insists on data_end == data_size_in and answers EINVAL; the kernel's own small case decides.
    """
    if machine.run(frame_of(256), split=128).error == "EINVAL":
        pytest.skip("the kernel's test_run cannot split a frame at ctx.data_end")


@pytest.fixture(scope="module")
def redirects(machine: Machine) -> Iterator[Redirects]:
    """The programs; `machine` skips where the kernel has no programs with frags support."""
    loaded = Redirects()
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def built_street(redirects: Redirects) -> Iterator[Street]:
    """Two veth pairs of MTU 9000; what leaves at the far one is taken in by a program."""
    with street(redirects.program("pass")) as made:
        yield made


@pytest.fixture
def links(built_street: Street) -> Iterator[Street]:
    """The veth pairs, and the test in their namespace."""
    with built_street.place.entered():
        yield built_street
