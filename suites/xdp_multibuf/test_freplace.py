"""Extensions of programs of both kinds: which load, what they see of a jumbo frame, which maps they may jump through.

A frame's fragments are a matter of the program that is extended: it is what is attached and run. An extension's own
flag says which programs it may jump to. Rules: kernel/bpf/verifier.c:bpf_check_attach_target, kernel/bpf/core.c:
__bpf_prog_map_compatible, bpf_check_tail_call.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

import pytest
from bpf.libbpf import LoadError, Map, Object, find_object
from xdp_multibuf.cases import cases
from xdp_multibuf.machine import XDP_TX, Limits, Machine, frame_of

HAS_FRAGS = 1 << 5  # BPF_F_XDP_HAS_FRAGS, include/uapi/linux/bpf.h
OFFSET_LIMIT = 0xFFFF  # bpf_xdp_pointer
FLAGS = {"frags": HAS_FRAGS, "plain": 0}
KINDS = ("frags", "plain")
_PROG_ARRAY = 3  # BPF_MAP_TYPE_PROG_ARRAY
_SEEN = struct.Struct("<IIi4s")


@pytest.fixture(scope="module")
def targets(machine: Machine) -> Iterator[Object]:
    """The programs to extend. `machine` skips where there are none with frags support."""
    with Object(find_object("xdp_multibuf", "target")) as loaded:
        yield loaded


def _extension(targets: Object, target: str, kind: str, name: str, jumps: Map | None = None) -> Object:
    """An extension of a kind for the target of a kind, loaded. jumps: a map to jump through."""
    return Object(
        find_object("xdp_multibuf", "replacement"),
        only=name,
        flags=FLAGS[kind],
        target=(targets.program(f"{target}_target"), f"{target}_hook"),
        maps={"jumps": jumps} if jumps else None,
    )


def _extension_or_refusal(targets: Object, target: str, kind: str) -> Object | LoadError:
    try:
        return _extension(targets, target, kind, "replacement")
    except LoadError as error:
        return error


@cases("target", KINDS)
@cases("extension", KINDS)
@cases("frame", ["60", "linear", "linear+1", "9000", "largest"])
def test_extension_sees_the_whole_frame(targets: Object, limits: Limits, target: str, extension: str, frame: str):
    """In place of the function it runs on the same frame, with every fragment; or the kernel refuses to load it."""
    size = limits.size(frame)
    loaded = _extension_or_refusal(targets, target, extension)
    if isinstance(loaded, LoadError):
        said = f"{extension} extension of a {target} program: {loaded}"
        assert (target != extension, loaded.errno) == (True, errno.EINVAL), said
        pytest.skip(f"the kernel takes no {extension} extension of a {target} program")
    with loaded, loaded.attached("replacement"):
        ran = targets.program(f"{target}_target").test_run(frame_of(size))
        seen = _SEEN.unpack(loaded.map("sights").memory()[: _SEEN.size])
    if target == "plain" and ran.error_name == "EINVAL" and size > limits.linear:
        assert seen[0] == 0, "a jumbo frame for a plain program: refused, but its extension ran"
        pytest.skip("the kernel's test_run gives a program without frags support no jumbo frame")
    assert ran.error_name == "success", f"frame {size}, {extension} extension of a {target} program: {ran.error_name}"
    assert ran.retval == XDP_TX, f"frame {size}: the program returned {ran.retval}, its extension {XDP_TX}"
    expected = (1, size, 0, frame_of(size)[: OFFSET_LIMIT + 1][-1:] + bytes(3))
    assert seen == expected, f"frame {size}: runs, length, load of the last byte, the byte: {seen}, expected {expected}"


def test_extension_goes_when_its_link_goes(targets: Object):
    """The function itself is back."""
    with _extension(targets, "frags", "frags", "replacement") as loaded:
        with loaded.attached("replacement"):
            assert targets.program("frags_target").test_run(frame_of(9000)).retval == XDP_TX
        assert targets.program("frags_target").test_run(frame_of(9000)).retval == 1, "still extended"


@cases("first", KINDS)
@cases("second", KINDS)
def test_extensions_of_one_kind_share_a_map_of_jumps(targets: Object, first: str, second: str):
    """The first to jump through a map decides its kind: no way round it by way of an extension."""
    with Map.made(_PROG_ARRAY, 4) as jumps, _extension(targets, first, first, "jumping_replacement", jumps):
        error = 0
        try:
            _extension(targets, second, second, "jumping_replacement", jumps).close()
        except LoadError as refusal:
            error = refusal.errno
    expected = 0 if first == second else errno.EINVAL
    assert error == expected, f"{second} extension that jumps through the map of a {first} one: errno {error}"
