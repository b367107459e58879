"""Instruments that vary are run on the machine's accelerator, by turns, and not for nothing."""

from pathlib import Path

import pytest

from harness.machine.accel import AcceleratorChoice
from harness.machine.model import Accelerator
from harness.perf import measure as measuring
from harness.perf.model import Boot, FigureChange, Instrument, Reading
from harness.plan import Invocation, Silent
from harness.store import new_run
from harness.suites import load_suite

BENCH = "xdp_multibuf/bench_test_run.py::bench_nothing[size=64]"
IMAGES = {"base": Path("/base/bzImage"), "patched": Path("/patched/bzImage")}


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine whose guests give what `readings` says; the guests that were booted."""
    booted = []

    def measured(bench, boots, run, observer, only=None, instrument=Instrument.ICOUNT):
        booted.extend((boot.role, bench.guest.accelerator, instrument) for boot in boots)
        return [Boot(boot.role, boot.seed, measured.readings(boot.role)) for boot in boots]

    monkeypatch.setattr(measuring, "choose_accelerator", lambda *_: AcceleratorChoice(Accelerator.KVM, "it boots", ""))
    monkeypatch.setattr(measuring, "compile_objects", lambda *_, **__: tmp_path / "bpf")
    monkeypatch.setattr("harness.passes.build_tools", lambda *_: tmp_path / "tools")
    monkeypatch.setattr(measuring, "_measured", measured)
    measured.booted = booted
    return measured


def performance(tmp_path, rounds=3):
    asked = Invocation("", str(tmp_path), instrument=Instrument.CYCLES, rounds=rounds)
    return measuring.measure(asked, [load_suite("xdp_multibuf")], IMAGES, new_run(tmp_path / "run", "perf"), Silent())


def test_guests_have_the_accelerator_that_the_report_names(machine, tmp_path):
    machine.readings = lambda role: (Reading(BENCH, "cycles/packet", (100.0 if role == "base" else 120.0,)),)
    found = performance(tmp_path)
    assert machine.booted == [
        (role, Accelerator.KVM, Instrument.CYCLES) for _ in range(3) for role in ("base", "patched", "patched", "base")
    ]
    assert "under kvm" in found.how
    assert "3 rounds of base, patched, patched, base; 95 % intervals" in found.how
    assert [(each.change, each.delta) for each in found.figures] == [(FigureChange.WORSE, 20)]


def test_a_machine_without_the_counter_is_asked_once(machine, tmp_path):
    machine.readings = lambda _: (Reading(BENCH, failure="no counter of cycles here: No such file or directory"),)
    (figure,) = performance(tmp_path).figures
    assert len(machine.booted) == 1
    assert figure.change is FigureChange.UNKNOWN
    assert figure.why == "on base: no counter of cycles here: No such file or directory"


def test_what_base_reads_is_not_lost_where_patched_does_not_live(machine, tmp_path):
    machine.readings = lambda role: (Reading(BENCH, "cycles/packet", (100.0,)),) if role == "base" else ()
    (figure,) = performance(tmp_path).figures
    assert [role for role, *_ in machine.booted] == ["base", "patched"]
    assert (figure.bench, figure.change) == (BENCH, FigureChange.UNKNOWN)
    assert figure.why == "on patched: it was not run there"
