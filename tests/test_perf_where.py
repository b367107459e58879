"""Where figures went, as people read it."""

from rich.console import Console

from harness.perf.model import Attribution, FunctionChange, PatchShare, Performance
from harness.report.benches import short_name
from harness.report.where import where_table

NEW = FunctionChange("check_frame", 0.0, 39.002, 3.0, (0.0, 1.0), 0.0, "new", (PatchShare(1, 39.0),))
GROWN = FunctionChange(
    "bpf_test_run", 38.008, 42.006, 0.0, (0.0, 0.0), 0.0, "", (PatchShare(2, 4.0), PatchShare(1, 0.0))
)
GONE = FunctionChange("helper", 9.0, 0.0, 0.0, (1.0, 0.0), 0.0, "inlined or gone")


def bench(name, *functions, **more):
    delta = sum(each.delta for each in functions)
    return Attribution(f"xdp_multibuf/bench_test_run.py::bench_{name}", delta, functions, **more)


def shown(*attributions, **more):
    console = Console(width=80, color_system=None)
    with console.capture() as captured:
        console.print(where_table(Performance("icount", "", attributions=attributions, **more)))
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def test_benches_with_the_same_difference_are_told_once():
    lines = shown(
        bench("nothing[size=9000]", NEW, GROWN), bench("length[size=9000]", NEW, GROWN), bench("tail[size=64]", GONE)
    )
    assert lines[2:] == [
        "+43 in nothing[9000], length[9000]",
        "+39 check_frame new; called 0 → 1 times; +3 data cache lines; lines of",
        "patch 1: +39",
        "+4 bpf_test_run lines of patch 2: +4; lines of patch 1",
        "-9 in tail[64]",
        "-9 helper inlined or gone; called 1 → 0 times",
    ]


def test_what_no_function_accounts_for_is_told():
    lines = shown(Attribution("a::bench_b", 12.0, (GROWN,), rest=8.0))
    assert lines[-1] == "+8 others each less than half an instruction, or below its noise"


def test_a_profile_that_does_not_add_up_is_told_and_its_numbers_are_not():
    lines = shown(Attribution("a::bench_b", failure="on base: 3 packets were counted where 4 were sent"))
    assert lines[-1] == "not known: a::bench_b: on base: 3 packets were counted where 4 were sent"


def test_where_there_is_no_profile_the_reason_is_told():
    assert shown(nowhere="no System.map beside bzImage") == ["where it went not known: no System.map beside bzImage"]


def test_nothing_is_told_of_nothing():
    assert where_table(Performance("icount", "")) is None


def test_names_are_short_and_stay_different():
    assert short_name("drivers/bench_actions.py::bench_tx[device=veth,mode=native,size=64]") == "tx[veth,native,64]"
    assert short_name("a::bench_map[size=9014-where=cpumap,program=on_cpu]") == "map[9014-cpumap,on_cpu]"
    assert short_name("a::bench_plain") == "plain"
