"""Programs in entries of devmaps and cpumaps: a map belongs to one kind, with frags support or without.

Whoever comes first decides: a program that is put into the map, or one that redirects through it. Rules:
kernel/bpf/core.c:__bpf_prog_map_compatible; kernel/bpf/devmap.c:__dev_map_alloc_node; kernel/bpf/cpumap.c:
__cpu_map_load_bpf_program; net/core/dev.c:dev_xdp_attach.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

import pytest
from bpf.libbpf import LoadError, Map, Object, find_object
from net.link import Link
from net.xdp import Mode, refusal
from xdp_multibuf.cases import cases
from xdp_multibuf.machine import Machine, frame_of

KINDS = ("frags", "plain")
MAPS = ("devmap", "cpumap")
OTHER = {"frags": "plain", "plain": "frags"}
_MAP_TYPES = {"devmap": 14, "cpumap": 16}
_FIRST = {"devmap": 1, "cpumap": 64}  # an entry's first word: loopback's index, or the length of a CPU's queue
_REUSED = {"devmap": "devices", "cpumap": "cpus"}


@pytest.fixture(scope="module")
def programs(machine: Machine) -> Iterator[Object]:
    """All of them, loaded with maps of their own that nothing is put into. `machine` skips where frags are unknown."""
    loaded = {}
    for name in (*(f"{where}_{kind}" for where in (*MAPS, "device") for kind in KINDS),):
        loaded[name] = Object(find_object("xdp_multibuf", "map_programs"), only=name)
    yield loaded
    for each in loaded.values():
        each.close()


def _entry(programs: dict[str, Object], made: Map, where: str, program: str) -> int:
    """Put a program into the map: 0 or the errno."""
    return made.update(0, struct.pack("<Ii", _FIRST[where], programs[program].program(program).fd))


def _redirecting(made: Map, where: str, kind: str) -> int:
    """Load a program that redirects through the map, and forget it: 0 or the errno."""
    try:
        Object(
            find_object("xdp_multibuf", "map_programs"), only=f"to_{where}_{kind}", maps={_REUSED[where]: made}
        ).close()
    except LoadError as error:
        return error.errno
    return 0


# cpu_map_update_elem knows one reason only for not getting an entry, and says -ENOMEM.
_REFUSALS = {"devmap": {errno.EINVAL}, "cpumap": {errno.EINVAL, errno.ENOMEM}}


def _named(error: int) -> str:
    return errno.errorcode.get(error, str(error)) if error else "accepted"


@cases("where", MAPS)
@cases("first", KINDS)
@cases("second", KINDS)
def test_first_program_decides_the_kind(programs: dict[str, Object], where: str, first: str, second: str):
    """A program of the other kind than the first one's is refused with -EINVAL."""
    with Map.made(_MAP_TYPES[where], 8, 2) as made:
        error = _entry(programs, made, where, f"{where}_{first}")
        assert not error, f"{first} program into an empty {where}: {_named(error)}"
        error = _entry(programs, made, where, f"{where}_{second}")
        expected = {0} if first == second else _REFUSALS[where]
        assert error in expected, f"{second} program into a {where} that has a {first} one: {_named(error)}"


@cases("where", MAPS)
@cases("kind", KINDS)
def test_entry_decides_who_may_redirect(programs: dict[str, Object], where: str, kind: str):
    """A program of the other kind that redirects through the map does not load."""
    with Map.made(_MAP_TYPES[where], 8, 2) as made:
        assert not _entry(programs, made, where, f"{where}_{kind}")
        error = _redirecting(made, where, kind)
        assert not error, f"{kind} program that redirects through a {where} with a {kind} program: {_named(error)}"
        error = _redirecting(made, where, OTHER[kind])
        assert error == errno.EINVAL, f"{OTHER[kind]} program, {where} with a {kind} program: {_named(error)}"


@cases("where", MAPS)
@cases("kind", KINDS)
def test_redirecting_program_decides_the_entries(programs: dict[str, Object], where: str, kind: str):
    """Frames of many fragments that it redirects must not meet a program that cannot handle them, nor the reverse."""
    with Map.made(_MAP_TYPES[where], 8, 2) as made:
        assert not _redirecting(made, where, kind)
        error = _entry(programs, made, where, f"{where}_{OTHER[kind]}")
        assert error in _REFUSALS[where], f"{OTHER[kind]} program into the {where} of a {kind} one: {_named(error)}"
        error = _entry(programs, made, where, f"{where}_{kind}")
        assert not error, f"{kind} program into the {where} of a {kind} one: {_named(error)}"


@cases("where", MAPS)
@cases("kind", KINDS)
def test_program_for_another_place_is_refused(programs: dict[str, Object], where: str, kind: str):
    """An entry takes programs of its own attach type only."""
    with Map.made(_MAP_TYPES[where], 8, 2) as made:
        for program in (f"device_{kind}", f"{'cpumap' if where == 'devmap' else 'devmap'}_{kind}"):
            error = _entry(programs, made, where, program)
            assert error in _REFUSALS[where], f"{program} into a {where}: {_named(error)}"


@cases("where", MAPS)
@cases("kind", KINDS)
def test_entrys_program_runs_nowhere_else(programs: dict[str, Object], where: str, kind: str):
    """Neither on a device nor by test_run."""
    program = programs[f"{where}_{kind}"].program(f"{where}_{kind}")
    ran = program.test_run(frame_of(60))
    assert ran.error_name == "EINVAL", f"test_run of a program for a {where}: {ran.error_name}"
    refused = refusal(Link.named("lo"), program.fd, Mode.GENERIC)
    assert refused is not None, f"a {kind} program for a {where} was attached to a device"
    assert refused.errno == errno.EINVAL, f"a {kind} program for a {where} on a device: {refused}"
