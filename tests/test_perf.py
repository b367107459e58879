"""Figures of real kernels: one kernel is measured as itself, and a change of a few instructions shows."""

import pytest

from tests.conftest import PROJECT

pytestmark = [pytest.mark.kernel, pytest.mark.vm]

BENCHES = "(bench_nothing or adjust_tail) and 9000"


@pytest.fixture(scope="module")
def measured(ktrial):
    """The series that breaks shrinking, which also changes what bpf_xdp_adjust_tail costs on fragmented frames."""
    return ktrial.run("breaks-shrink.mbox", "--perf", "-k", f"test_adjust_head_meta or ({BENCHES})")


def figures(done):
    return {figure["bench"].rpartition("::")[2]: figure for figure in done.result["performance"]["figures"]}


def test_what_the_series_changes_shows_and_nothing_else(measured):
    found = figures(measured)
    assert found["bench_nothing[size=9000]"]["change"] == "same", found
    assert found["bench_adjust_tail_and_back[size=9000]"]["change"] in ("worse", "better"), found


def test_the_difference_is_told_by_function_and_by_patch(measured):
    performance = measured.result["performance"]
    assert not performance.get("nowhere"), performance
    told = {each["bench"].rpartition("::")[2]: each for each in performance["attributions"]}
    found = told["bench_adjust_tail_and_back[size=9000]"]
    assert not found.get("failure"), found
    (changed,) = (figure for name, figure in figures(measured).items() if name.startswith("bench_adjust_tail"))
    # A mean over a batch is rounded down in the figure, and not in the profile.
    assert abs(found["delta"] - (changed["patched"] - changed["base"])) < 2, found
    functions = {each["name"]: each for each in found["functions"]}
    assert "bpf_xdp_adjust_tail" in functions, found
    assert {share["number"] for each in functions.values() for share in each["patches"]} == {1, 2, 3}
    assert abs(found["rest"]) < 1, found


def test_a_kernel_does_not_differ_from_itself(measured):
    for figure in figures(measured).values():
        assert figure["noise"] <= 2, figure
        assert figure["base"] > 10


def test_the_report_names_the_instrument_and_how_to_measure_again(measured):
    assert "icount: instructions by the guest's own clock" in " ".join(measured.output.split())
    assert measured.status == 1, measured.output
    assert "ktrial perf " in measured.result["reproduce"]


def test_two_built_kernels_are_measured_without_a_series(measured, ktrial):
    base = next(kernel["directory"] for kernel in measured.result["kernels"] if kernel["side"] == "base")
    done = ktrial("perf", base, base, "--suite", "xdp_multibuf", "-k", "bench_nothing and 9000", "--all")
    assert done.status == 0, done.output + done.errors
    assert "nothing[9000]" in done.output
    assert "1 same" in done.output


def test_a_trial_that_cannot_be_measured_says_so_before_it_builds(ktrial):
    done = ktrial(
        "run", str(PROJECT / "examples" / "breaks-shrink.mbox"), "--tree", "debian:6.12", "--perf", "--no-base"
    )
    assert done.status == 2
    assert "--perf compares with the base kernel" in done.errors
