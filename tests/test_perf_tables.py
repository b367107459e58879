"""The tables that series argue with: their shape, cells without a figure, and no change that is noise."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.perf.model import Figure, FigureChange, PatchSteps, Performance
from harness.report.tables import change_table, jobs_table, lines_of, sizes_table, tables_of, verifier_table

GOLDEN = Path(__file__).parent / "golden" / "perf_tables"
ZERO_COPY = "veth: xdpsock: binding to queue 0 of ktmeas: EOPNOTSUPP"


def figure(bench, base, patched, noise=0.0):
    change = FigureChange.SAME if abs(patched - base) <= noise else FigureChange.WORSE
    return Figure(bench, "insns/packet", change, base, patched, noise)


def action(name, base, patched, *, device="veth", **how):
    return figure(f"drivers/bench_actions.py::bench_{name}[device={device},mode=native,size=64]", base, patched, **how)


def xdpsock_id(job, mode, size=64, device="veth"):
    return f"af_xdp/bench_xdpsock.py::bench_{job}[device={device},mode={mode},size={size}]"


def xdpsock(job, mode, base, patched, size=64, *, device="veth", **how):
    return figure(xdpsock_id(job, mode, size, device), base, patched, **how)


def missing(job, mode, why=ZERO_COPY, size=64):
    return Figure(xdpsock_id(job, mode, size), "", FigureChange.UNKNOWN, why=f"on base: {why}")


def measured(*figures):
    return Performance("icount", "instructions", figures)


WHOLE = measured(
    action("drop", 688.8, 691.8),
    action("tx", 968.5, 962.5),
    xdpsock("rxdrop", "skb", 2400, 2400),
    xdpsock("rxdrop", "drv", 1400, 1401.5),
    missing("rxdrop", "zc"),
    *(xdpsock("txonly", "skb", base, base - 100, size) for size, base in ((64, 2100), (512, 2200), (1024, 2310))),
    xdpsock("txonly", "skb", 2500, 2501, 1500, noise=2.0),
    xdpsock("txonly", "drv", 2000, 2000),
    missing("txonly", "zc"),
    xdpsock("l2fwd", "skb", 4400.5, 4400.5),
    missing("l2fwd", "drv", "the guest ended: panic"),
    missing("l2fwd", "zc"),
    action("drop", 2382.3, 2382.3, device="virtio_net"),
    action("tx", 4582, 4583, device="virtio_net", noise=1.4),
    xdpsock("rxdrop", "zc", 2000, 2100, device="virtio_net"),
)


def shown(*tables):
    return "\n\n".join("\n".join(line.rstrip() for line in lines_of(table)) for table in tables) + "\n"


@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("change", lambda: [change_table([("base -> patched", WHOLE)])]),
        ("sizes", lambda: [sizes_table(WHOLE, "veth")]),
        ("jobs", lambda: [jobs_table(WHOLE, "veth")]),
        ("all", lambda: tables_of(WHOLE)),
    ],
)
def test_the_tables_are_as_they_were(name, tables):
    assert shown(*tables()) == (GOLDEN / f"{name}.txt").read_text()


def test_steps_of_a_series_are_rows_of_one_table():
    first = measured(action("drop", 100, 102), action("tx", 200, 200))
    both = measured(action("drop", 100, 109), action("tx", 200, 194))
    lines = lines_of(change_table([("patch 1:", first), ("+ patch 2", both)]))
    assert [line.split()[-1] for line in lines[3:5]] == ["0%/0", "+3.1%/-6"]
    assert "-2.0%/+2" in lines[3]


def test_what_is_not_above_the_noise_is_shown_as_no_change():
    text = shown(change_table([("series", measured(action("drop", 1000, 1004, noise=5.0), action("tx", 5, 5)))]))
    assert "0%/0" in text
    assert "+4" not in text


def test_no_figure_of_theirs_means_no_tables():
    assert tables_of(measured(figure("xdp_multibuf/bench_test_run.py::bench_nothing[size=64]", 60, 60))) == ()


def test_every_reason_is_told_once():
    lines = lines_of(jobs_table(WHOLE, "veth"))
    assert [line.strip() for line in lines if "EOPNOTSUPP" in line] == [f"[1] on base: {ZERO_COPY}"]
    assert any("NA [2]" in line for line in lines)
    assert any("[2] on base: the guest ended: panic" in line for line in lines)


def test_lines_fit_a_terminal():
    assert all(len(line) <= 80 for table in tables_of(WHOLE) for line in lines_of(table))


def test_the_first_table_has_a_row_for_every_patch_that_was_measured():
    steps = (
        PatchSteps(action("drop", 0, 0).bench, "insns/packet", ((0, 688.8), (1, 690.8), (2, 691.8)), ()),
        PatchSteps(action("tx", 0, 0).bench, "insns/packet", ((0, 968.5), (2, 962.5)), ()),
    )
    lines = lines_of(tables_of(replace(measured(*WHOLE.figures[:5]), steps=steps))[0])
    assert [line.split() for line in lines[3:5]] == [
        ["veth", "(copy),", "base", "->", "patch", "1:", "NA", "[1]", "-0.3%/+2", "NA", "[1]"],
        ["veth", "(copy),", "base", "->", "patched:", "-0.1%/+1.5", "-0.4%/+3", "+0.6%/-6"],
    ]
    assert lines[-1].strip() == "[1] not measured after patch 1"


def test_what_is_no_instruction_is_not_called_one():
    """The unit is that of the figures, and the instrument and its noise stand above every table."""
    cycles = [
        replace(each, unit="cycles/packet", interval=None if each.base is None else (-1.0, 4.0))
        if not each.why
        else each
        for each in WHOLE.figures
    ]
    text = shown(*tables_of(replace(measured(*cycles), instrument="cycles")))
    assert "insns" not in text
    assert text.count("cycles per packet") == text.count("(cycles, noise at most") == 4
    assert "(cycles, noise at most 1.4, seen from 3.9)" in text


def test_a_board_s_interface_has_the_same_tables():
    wire = "drivers/bench_wire.py::bench_{}[device=iface,mode={},size={}]"
    costs = {("drop", "native", 64): 300, ("tx", "native", 64): 400, ("rxdrop", "drv", 64): 500}
    costs |= {("txonly", "skb", size): size for size in (64, 512, 1024, 1500)}
    figures = [
        replace(figure(wire.format(*which), cost, cost + 40), unit="cycles/packet") for which, cost in costs.items()
    ]
    figures.append(Figure(wire.format("l2fwd", "zc", 64), "", FigureChange.UNKNOWN, why="on base: EOPNOTSUPP"))
    text = shown(*tables_of(replace(measured(*figures), instrument="cycles")))
    assert "iface (copy), base -> patched:" in text
    assert "-11.8%/+40" in text
    assert "xdpsock -i iface -t -S -s SIZE, cycles per packet" in text
    assert "iface, cycles per packet, frames of 64 bytes" in text


def test_a_figure_that_cannot_be_told_says_what_could_have_been_seen():
    why = "between -3 and +9; what is less than 7 could not be seen"
    unsure = replace(action("drop", 100, 103), change=FigureChange.UNKNOWN, why=why, interval=(-3.0, 9.0))
    lines = lines_of(change_table([("series", measured(unsure, action("tx", 50, 50)))]))
    assert lines[-1].strip().endswith(why)
    assert "NA [" in lines[3]


def verified(name, insns, states, why=""):
    return [
        replace(
            figure(f"af_xdp/bench_verifier.py::bench_verified_{what}[object={name}]", *sides),
            change=FigureChange.UNKNOWN if why else FigureChange.SAME,
            why=why,
        )
        for what, sides in (("insns", insns), ("states", states))
    ]


VERIFIED = measured(
    *verified("bench", (120, 138), (9, 9)),
    *verified("steer", (40, 40), (3, 3)),
    *verified("trace", (40, 44), (3, 3), "the kernels do not measure the same: 3 programs / 4 programs"),
)


def test_the_verifier_s_work_is_told_for_every_object():
    assert shown(verifier_table(VERIFIED)) == (GOLDEN / "verifier.txt").read_text()


def test_objects_that_the_verifier_walks_as_before_are_counted():
    lines = lines_of(verifier_table(VERIFIED, every=False))
    assert not any("steer" in line for line in lines)
    assert lines[-1].strip() == "1 other object as before"
    same = measured(*verified("steer", (40, 40), (3, 3)))
    assert tables_of(same, every=False) == ()
    assert len(tables_of(same)) == 1
