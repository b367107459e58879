"""The model of an xdp_buff follows the kernel's rules, its cases reach the boundaries, and a failure is a test."""

from __future__ import annotations

import ast
import errno
import sys
from pathlib import Path

import pytest

from harness.machine.model import Accelerator
from harness.passes import Bench
from harness.plan import Invocation, new_seed
from harness.repro import Reproduction, commands

SUITES = str(Path(__file__).resolve().parents[1] / "suites")
if SUITES not in sys.path:
    sys.path.append(SUITES)

from xdp_multibuf.case import Case, as_test, disagreement  # noqa: E402
from xdp_multibuf.fuzz import Drawn, by_hypothesis  # noqa: E402
from xdp_multibuf.generate import Seeded, generate  # noqa: E402
from xdp_multibuf.machine import (  # noqa: E402
    LENGTH,
    LINEAR,
    METADATA,
    Kind,
    Limits,
    Run,
    adjust_head,
    adjust_meta,
    adjust_tail,
    frame_of,
    ink,
    load,
    peek,
    poke,
    store,
)
from xdp_multibuf.model import Behaviour, Refused, XdpBuff, predict  # noqa: E402
from xdp_multibuf.shrink import shrink  # noqa: E402

LIMITS = Limits(page=4096, headroom=256, tailroom=320, frags=17, frame_header=40)
NEW, OLD = Behaviour(metadata_limit=255), Behaviour(metadata_limit=32)


def _results(size, *operations, behaviour=NEW, split=None, meta=0):
    return predict(size, operations, LIMITS, behaviour, split, meta).results


def test_a_frame_is_a_linear_part_and_pages():
    buff = XdpBuff(frame_of(9000), LIMITS, NEW)
    assert (buff.linear, [len(frag) for frag in buff.frags], buff.length) == (3520, [4096, 1384], 9000)
    assert buff.starts == [0, 3520, 7616, 9000]
    assert buff.bytes() == buff.output() == frame_of(9000)


def test_a_split_is_where_the_linear_part_ends_with_the_metadata_counted():
    buff = XdpBuff(frame_of(300), LIMITS, NEW, split=64, meta=8)
    assert (buff.metadata, buff.linear, [len(frag) for frag in buff.frags]) == (8, 56, [236])
    assert buff.output() == frame_of(300)
    assert buff.bytes() == frame_of(300)[8:]


@pytest.mark.parametrize(
    ("size", "split", "meta", "error"),
    [
        (13, None, 0, "EINVAL"),  # shorter than an Ethernet header
        (20, None, 8, "EINVAL"),  # so without its metadata
        (100, 101, 0, "EINVAL"),  # split past the frame
        (100, 4, 8, "EINVAL"),  # split inside the metadata
        (100, None, 6, "EINVAL"),  # no multiple of 4
        (400, None, 220, "EINVAL"),  # more than the headroom has beside struct xdp_frame
        (3520 + 17 * 4096, None, 0, ""),
        (3521 + 17 * 4096, None, 0, "ENOMEM"),
        (64 + 17 * 4096, 64, 0, ""),
        (65 + 17 * 4096, 64, 0, "ENOMEM"),
    ],
)
def test_frames_that_test_run_refuses(size, split, meta, error):
    assert predict(size, (), LIMITS, NEW, split, meta).error == error


def test_a_kernel_without_header_split_refuses_a_split():
    assert predict(100, (), LIMITS, Behaviour(splits=False), 64).error == "EINVAL"
    assert predict(100, (), LIMITS, Behaviour(splits=False), 100).error == ""


def test_shrinking_releases_fragments_and_then_bytes_of_the_linear_part():
    shrunk = [(1384, [4096], 3520), (1385, [4095], 3520), (5480, [], 3520), (5481, [], 3519), (8986, [], 14)]
    for by, frags, linear in shrunk:
        buff = XdpBuff(frame_of(9000), LIMITS, NEW)
        assert buff.adjust_tail(-by) == 0
        assert ([len(frag) for frag in buff.frags], buff.linear) == (frags, linear)
        assert buff.bytes() == frame_of(9000 - by)


def test_an_ethernet_header_stays():
    assert _results(9000, adjust_tail(-8987), LENGTH) == (-errno.EINVAL, 9000)
    assert _results(60, adjust_tail(-47), LENGTH) == (-errno.EINVAL, 60)
    assert _results(60, adjust_tail(0), split=13) == (0,)  # the frame, not its linear part
    assert _results(60, adjust_head(47), adjust_head(46), LENGTH) == (-errno.EINVAL, 0, 14)
    assert _results(9000, adjust_head(3507), adjust_head(3506), LINEAR) == (-errno.EINVAL, 0, 14)


def test_growing_ends_with_the_tailroom_of_the_last_buffer_and_is_zero():
    assert _results(60, adjust_tail(3461), adjust_tail(3460), adjust_tail(1)) == (-errno.EINVAL, 0, -errno.EINVAL)
    assert _results(9000, adjust_tail(2713), adjust_tail(2712), LENGTH) == (-errno.EINVAL, 0, 11712)
    prediction = predict(9000, (adjust_tail(-50), adjust_tail(60)), LIMITS, NEW)
    assert prediction.data == frame_of(8950) + bytes(60)


def test_a_head_that_is_pushed_shows_the_zeros_of_the_headroom():
    assert predict(60, (adjust_head(-4),), LIMITS, NEW).data == bytes(4) + frame_of(60)
    assert _results(60, adjust_head(-217), adjust_head(-216), LENGTH) == (-errno.EINVAL, 0, 276)


def test_metadata_moves_with_the_head_and_is_limited_in_words():
    assert _results(60, adjust_meta(-8), adjust_head(-20), METADATA, LENGTH) == (0, 0, 8, 80)
    assert _results(60, adjust_meta(-6), adjust_meta(4), METADATA) == (-errno.EACCES, -errno.EINVAL, 0)
    assert _results(60, adjust_meta(-36), adjust_meta(-36)) == (0, 0)
    assert _results(60, adjust_meta(-36), adjust_meta(-32), behaviour=OLD) == (-errno.EACCES, 0)
    assert _results(60, adjust_meta(-220), adjust_meta(-216)) == (-errno.EINVAL, 0)


def test_copies_cross_boundaries_and_are_refused_past_the_frame_and_past_64_kib():
    prediction = predict(9000, (store(3510, ink(20)), load(3500, 40), load(8990, 11), load(65536, 1)), LIMITS, NEW)
    frame = frame_of(9000)
    assert prediction.results == (0, 0, -errno.EINVAL, -errno.EFAULT)
    assert prediction.loaded == (b"", frame[3500:3510] + ink(20) + frame[3530:3540], None, None)
    assert prediction.data == frame[:3510] + ink(20) + frame[3530:]


def test_direct_access_is_to_the_linear_part():
    assert _results(9000, peek(3519), peek(3520), poke(3520, 1)) == (frame_of(3520)[-1], -1, -1)
    assert _results(60, poke(13, 7), peek(13), peek(14), split=14) == (0, 7, -1)


def test_the_same_seed_makes_the_same_cases():
    first, second = ([generate(Seeded(seed), LIMITS) for seed in range(20)] for _ in range(2))
    assert first == second
    assert len(set(first)) == 20


def test_the_fixed_cases_reach_every_kind_of_operation_and_every_kind_of_answer():
    seen = set()
    for seed in range(20):
        source = Seeded(seed)
        for _ in range(30):
            case = generate(source, LIMITS)
            prediction = case.predicted(LIMITS, NEW)
            seen.add(prediction.error)
            kinds = (Kind(op.kind).name for op in case.operations)
            seen |= {(kind, min(result, 1)) for kind, result in zip(kinds, prediction.results, strict=False)}
    assert {"", "EINVAL", "ENOMEM"} <= seen
    for kind in ("ADJUST_HEAD", "ADJUST_TAIL", "ADJUST_META", "LOAD", "STORE"):
        assert {(kind, 0), (kind, -errno.EINVAL)} <= seen
    assert {("ADJUST_META", -errno.EACCES), ("LOAD", -errno.EFAULT), ("STORE", -errno.EFAULT), ("PEEK", -1)} <= seen


def test_generated_cases_fit_the_machine():
    for seed in range(300):
        case = generate(Seeded(seed), LIMITS)
        assert len(case.operations) <= 31
        assert sum(op.length for op in case.operations if op.kind in (Kind.LOAD, Kind.STORE)) <= 1 << 17


class MachineOfTheModel:
    """Answers as the model with other limits or rules would: a kernel with a bug."""

    def __init__(self, behaviour=NEW, limits=LIMITS):
        self.behaviour, self.limits = behaviour, limits

    def run(self, frame, *operations, split=None, meta=0):
        prediction = predict(len(frame), operations, self.limits, self.behaviour, split, meta)
        loaded = tuple(b"" if got is None else got for got in prediction.loaded)
        context = split is not None or meta
        return Run(
            error=prediction.error,
            action=2,
            results=prediction.results,
            loaded=loaded,
            data=prediction.data,
            size=len(prediction.data),
            meta=prediction.meta if context else 0,
            linear=prediction.linear if context else 0,
            duration=1,
            runs=0 if prediction.error else 1,
        )


def test_a_kernel_that_follows_the_rules_agrees_with_the_model():
    source = Seeded(7)
    assert not any(disagreement(MachineOfTheModel(), LIMITS, NEW, generate(source, LIMITS)) for _ in range(200))


def _first_failure(machine):
    source = Seeded(1)
    return next(
        case for case in (generate(source, LIMITS) for _ in range(3000)) if disagreement(machine, LIMITS, NEW, case)
    )


def test_a_failing_case_is_made_small():
    machine = MachineOfTheModel(behaviour=OLD)  # a kernel that knows no metadata of more than 32 bytes
    small = shrink(_first_failure(machine), lambda case: bool(disagreement(machine, LIMITS, NEW, case)))
    assert len(small.operations) <= 2
    assert small.size <= 60


def test_a_case_that_fails_by_what_a_shrink_leaves_gets_a_smaller_frame_too():
    def one_byte_is_left(case):
        buff = XdpBuff(frame_of(case.size), LIMITS, NEW, case.split, case.meta)
        cut = [op for op in case.operations if op.kind == Kind.ADJUST_TAIL and buff.adjust_tail(op.offset) == 0]
        return bool(cut) and bool(buff.frags) and len(buff.frags[-1]) == 1

    assert one_byte_is_left(Case(69057, None, 64, (adjust_tail(-61376), LENGTH)))
    small = shrink(Case(69057, None, 64, (adjust_tail(-61376), LENGTH)), one_byte_is_left)
    assert small == Case(3522, None, 0, (adjust_tail(-1),))


def test_a_failing_case_is_shown_as_a_test_that_says_the_same():
    case = Case(9000, 64, 8, (adjust_tail(-5), store(10, ink(20)), load(0, 30), poke(3, 171), LENGTH))
    text = as_test(case, 'it said "no"')
    ast.parse(text)
    names = {}
    exec(compile(text, "pasted.py", "exec"), names)
    said = []
    names["disagreement"] = lambda machine, limits, behaviour, case: said.append(case) or ""
    names["test_found_by_the_model"](None, LIMITS, NEW)
    assert said == [case]


def test_hypothesis_draws_the_same_cases(tmp_path, monkeypatch):
    hypothesis = pytest.importorskip("hypothesis")
    monkeypatch.chdir(tmp_path)
    made = hypothesis.strategies.composite(lambda draw: generate(Drawn(draw, hypothesis.strategies), LIMITS))()
    seen = []

    @hypothesis.settings(max_examples=20, database=None, deadline=None, derandomize=True)
    @hypothesis.given(made)
    def collect(case):
        seen.append(case)

    collect()
    assert len(seen) >= 10
    assert not any(disagreement(MachineOfTheModel(), LIMITS, NEW, case) for case in seen)


def test_hypothesis_finds_and_shrinks_what_a_broken_kernel_does(tmp_path, monkeypatch):
    pytest.importorskip("hypothesis")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("xdp_multibuf.fuzz.ROUND", 50)
    machine = MachineOfTheModel(behaviour=OLD)
    found = by_hypothesis(lambda case: disagreement(machine, LIMITS, NEW, case), LIMITS, 1, float("inf"))
    assert found is not None
    assert len(found.operations) <= 5


def test_minutes_of_fuzzing_reach_the_guest_with_their_seed(tmp_path):
    asked = Invocation(series="", cwd="/", fuzz_minutes=2.5, fuzz_seed=77)
    bench = Bench.of(asked, Accelerator.TCG, (), tmp_path)
    assert bench.guest.env["KTRIAL_FUZZ_MINUTES"] == "2.5"
    assert bench.guest.env["KTRIAL_FUZZ_SEED"] == "77"
    assert bench.guest.deadlines.session == asked.session_deadline + 150


def test_without_fuzzing_nothing_is_asked_of_the_guest(tmp_path):
    bench = Bench.of(Invocation(series="", cwd="/", fuzz_seed=77), Accelerator.TCG, (), tmp_path)
    assert not [name for name in bench.guest.env if "FUZZ" in name]


def test_what_fuzzing_found_is_reproduced_with_its_seed(tmp_path):
    found = Reproduction(
        test="xdp_multibuf/test_fuzz.py::test_kernel_and_model_agree_on_more[seed=77]",
        series=tmp_path / "series.mbox",
        tree="debian:6.12",
        repository=tmp_path,
        base_commit="0" * 40,
        config=tmp_path / "config",
        patched_image=tmp_path / "bzImage",
        suites_root=tmp_path,
        fuzz_minutes=2.5,
        fuzz_seed=77,
    )
    assert all("--fuzz 2.5 --fuzz-seed 77" in line for line in commands(found).splitlines()[1::2])


def test_a_seed_that_nobody_chose_is_another_each_time():
    seeds = {new_seed() for _ in range(20)}
    assert len(seeds) > 1
    assert 0 not in seeds


def test_a_refusal_names_its_errno():
    with pytest.raises(Refused, match="ENOMEM"):
        XdpBuff(frame_of(LIMITS.largest + 1), LIMITS, NEW)
