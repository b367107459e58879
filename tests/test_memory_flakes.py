"""What is known of a flaky test gives it more attempts, and hides no crash, no new splat and no failure that stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_samples import SUITE, finished
from trial_values import KASAN, OUTCOMES, WARN, result
from trial_values import side as side_of

from harness import passes
from harness.compare import Change, compare
from harness.flakiness import BaseRun, KnownFlake, attempts_needed, flake_of, flake_words, remarkable, wanting
from harness.memory import opened
from harness.memory.flakes import Comparable, flakes
from harness.memory.write import remember
from harness.plan import Silent
from harness.results import Outcome
from harness.run_result import SuiteInfo
from harness.splats import splat_reason

P, F, C, T, S = Outcome.PASSED, Outcome.FAILED, Outcome.CRASHED, Outcome.TIMED_OUT, Outcome.SKIPPED
LIKE = Comparable("6.12.44", "tcg", ("boot", "xdp"), ((SUITE.name, SUITE.digest),), run="now")
T_FLAKES = KnownFlake("t", flaky=30, runs=100, bad_at_first=30, outcomes=(F,))


class TestWhatIsEvidence:
    """A test flakes where it was well and unwell on one base kernel, in runs like the one that asks."""

    @pytest.fixture(autouse=True)
    def memory(self, tmp_path):
        with opened(tmp_path / "memory.sqlite") as self.memory:
            self.count = 0
            yield

    def add(self, base="pfp", **fields):
        self.count += 1
        started = f"2026-01-{self.count:02}T00:00:00+00:00"
        run = fields.pop("run", f"r{self.count}")
        remember(self.memory, finished(run, base={"t": base}, started=started, **fields))

    def known(self, **like):
        return flakes(self.memory, replace(LIKE, **like))

    def test_attempts_that_differ_in_one_run_are(self):
        self.add("pfp")
        self.add("p")
        assert self.known() == (
            KnownFlake("suite/f.py::t", 1, 2, bad_at_first=0, outcomes=(F,), last="2026-01-01T00:00:00+00:00"),
        )

    def test_runs_that_differ_on_one_kernel_are(self):
        for outcomes in ("p", "f", "p", "t"):
            self.add(outcomes)
        (known,) = self.known()
        assert (known.flaky, known.runs, known.bad_at_first, known.outcomes) == (2, 4, 2, (F, T))

    def test_a_test_that_was_mended_between_two_kernels_is_none(self):
        for code in ("old", "old", "new", "new"):
            self.add("f" if code == "old" else "p", code=code, base_commit=code * 10)
        assert self.known() == ()

    def test_a_kernel_on_which_it_never_passed_does_not_count(self):
        for _ in range(5):
            self.add("fff", code="broken")
        self.add("fpp")
        (known,) = self.known()
        assert (known.flaky, known.runs, known.bad_at_first) == (1, 1, 1)

    @pytest.mark.parametrize(
        "fields",
        [
            {"kernel": "6.13.0-rc1"},
            {"kernel": "6.1.140"},
            {"accelerator": "kvm"},
            {"suite": SuiteInfo("suite", "", "another")},
            {"suite": SuiteInfo("suite", "", "")},
            {"fragments": ("boot", "xdp", "debug")},
            {"run": "now"},
            {"code": ""},
        ],
        ids=lambda fields: ",".join(fields),
    )
    def test_another_kind_of_run_is_none(self, fields):
        self.add("pfp", **fields)
        assert self.known() == ()

    def test_what_a_series_broke_is_none_where_its_patches_are_the_base_of_the_next(self):
        self.add("p", patched={"t": "pfp"}, run="first")
        assert self.known() == ()
        self.add("pfp", base_commit="first-2")  # the last commit of the series of the run `first`
        assert self.known() == ()

    def test_a_patched_kernel_is_none(self):
        self.add("p", patched={"t": "pfp"})
        assert self.known() == ()

    def test_what_our_machine_lost_is_none(self):
        self.add("lp")
        assert self.known() == ()

    def test_without_a_version_nothing_is_comparable(self):
        self.add("pfp")
        assert self.known(version="") == ()

    def test_only_the_newest_runs_count(self):
        for _ in range(20):
            self.add("p")
        self.memory.execute("UPDATE runs SET started = '2020' WHERE run = 'r1'")
        self.add("pfp")
        assert self.known()[0].runs == 21


def test_a_rate_is_never_0_or_1():
    assert 0 < KnownFlake("t", 1, 1, 0).rate < 1
    assert 0 < KnownFlake("t", 1, 1, 1).rate < 1


@pytest.mark.parametrize(("bad", "runs", "attempts"), [(3, 120, 3), (1, 10, 4), (30, 100, 6), (9, 10, 10), (0, 1, 7)])
def test_a_test_gets_as_many_attempts_as_leave_chance_one_in_a_thousand(bad, runs, attempts):
    known = KnownFlake("t", flaky=max(bad, 1), runs=runs, bad_at_first=bad, outcomes=(F,))
    assert attempts_needed(known) == attempts
    assert attempts == 10 or known.rate**attempts <= 0.001 < known.rate ** (attempts - 1)


def test_it_is_told_in_words():
    assert flake_words(KnownFlake("t", 3, 120, 2)) == "flaky in 3 of 120 base runs before"


def compared(base, patched, extra_base="", extra_patched=""):
    """One test `t` by letters; the extra attempts are those that its history asked for."""
    sides = []
    for name, first, more in (("base", base, extra_base), ("patched", patched, extra_patched)):
        results = [result("t", OUTCOMES[letter], attempt) for attempt, letter in enumerate(first + more, 1)]
        marked = [replace(each, extra=place >= len(first)) for place, each in enumerate(results)]
        sides.append(side_of(name, *marked))
    return compare(*sides)


def change_of(*letters):
    return compared(*letters).tests[0]


class TestWhoIsTriedAgain:
    """Only a blamed test that failed as it did before."""

    def known(self, *letters, flake=T_FLAKES):
        return wanting(compared(*letters), {"t": flake})

    def test_a_known_one_until_chance_no_longer_explains_it(self):
        assert self.known("ppp", "fff") == ("t",)
        assert self.known("ppp", "fff", "pp", "ff") == ("t",)
        assert self.known("ppp", "fff", "ppp", "fff") == ()

    def test_not_one_of_which_nothing_is_known(self):
        assert wanting(compared("ppp", "fff"), {}) == ()

    def test_not_one_that_is_not_blamed(self):
        assert self.known("ppp", "ppp") == self.known("pfp", "fff") == ()

    def test_not_one_that_fails_in_another_way_than_before(self):
        assert self.known("ppp", "ttt") == ()
        assert self.known("ppp", "fft") == ()

    def test_not_one_that_crashes_whatever_it_did_before(self):
        assert self.known("ppp", "ccc", flake=replace(T_FLAKES, outcomes=(F, C))) == ()
        assert self.known("ppp", "ffc", flake=replace(T_FLAKES, outcomes=(F, C))) == ()

    def test_not_one_with_a_new_splat(self):
        patched = [result("t", F, attempt, splats=(WARN,)) for attempt in (1, 2, 3)]
        comparison = compare(side_of("base", t="ppp"), side_of("patched", *patched))
        assert wanting(comparison, {"t": T_FLAKES}) == ()


class TestNothingIsHidden:
    """Extra attempts take a blame away by passing alone, and where nothing worse is in them."""

    def test_a_failure_that_some_extra_attempt_is_without_is_flaky(self):
        assert change_of("ppp", "fff", "p", "p").change is Change.FLAKY

    def test_a_failure_that_stays_is_blamed(self):
        assert change_of("ppp", "fff", "ppp", "fff").blamed

    def test_a_failure_that_stays_is_blamed_although_base_failed_in_an_extra_attempt(self):
        found = change_of("ppp", "fff", "pfp", "fff")
        assert found.blamed
        assert found.base_outcomes == (P, P, P, P, F, P)

    def test_a_crash_in_an_extra_attempt_stays_blamed(self):
        found = change_of("ppp", "fff", "pp", "cp")
        assert found.change is Change.REGRESSION
        assert found.blamed
        assert found.patched_outcomes == (F, F, F, C, P)

    def test_a_hang_in_an_extra_attempt_of_what_only_failed_stays_blamed(self):
        assert change_of("ppp", "fff", "pp", "tp").blamed

    def test_a_new_splat_in_an_extra_attempt_stays_blamed(self):
        extra = [
            replace(result("t", F, 4, splats=(KASAN,), reason=splat_reason([KASAN])), extra=True),
            replace(result("t", P, 5), extra=True),
        ]
        comparison = compare(side_of("base", t="ppp"), side_of("patched", *extra, t="fff"))
        assert comparison.tests[0].blamed
        assert KASAN in comparison.tests[0].new_splats

    def test_a_skip_takes_no_blame_away(self):
        assert change_of("ppp", "fff", "p", "s").blamed

    @settings(deadline=None)
    @given(
        base=st.text("pfcts", min_size=1, max_size=4),
        patched=st.text("pfcts", min_size=1, max_size=4),
        more=st.lists(st.tuples(st.sampled_from("pfctsl"), st.sampled_from("pfctsl")), max_size=5),
    )
    def test_whatever_the_attempts_come_to(self, base, patched, more):
        """What is blamed without a history is blamed with it, unless it passed on patched and did nothing worse."""
        without = change_of(base, patched)
        extra = ("".join(one for one, _ in more), "".join(other for _, other in more))
        after = change_of(base, patched, *extra)
        if without.blamed and not after.blamed:
            assert "p" in extra[1]
            assert "c" not in patched + extra[1]
            assert {letter for letter in extra[1] if letter in "ft"} <= set(patched)
        if set(patched + extra[1]) <= set("fct") and without.blamed:
            assert after.blamed

    @settings(deadline=None)
    @given(st.text("pfcts", min_size=1, max_size=5), st.text("pfcts", min_size=1, max_size=5))
    def test_without_extra_attempts_nothing_is_different(self, base, patched):
        """Ordinary comparisons are as they were: no attempt is extra unless a history asked for it."""
        found = compared(base, patched)
        assert found == compare(side_of("base", t=base), side_of("patched", t=patched))


class TestThePasses:
    """A trial makes the extra attempts on every side, and stops where one passes, or where it must."""

    @pytest.fixture(autouse=True)
    def scripted(self, monkeypatch):
        def make(bench, images, run, observer, attempt, only):
            self.asked.append((attempt, only))
            letters = [self.base, self.patched]
            return [
                side_of(name, *[result("t", OUTCOMES[line[attempt - 1 : attempt] or line[-1]], attempt)])
                for name, line in zip(images, letters, strict=True)
            ]

        self.asked = []
        monkeypatch.setattr(passes, "_pass", make)

    def run(self, base, patched, known=T_FLAKES, reruns=2):
        self.base, self.patched = base, patched
        bench = SimpleNamespace(vms=1, reruns=reruns, only=None, flaky={"t": known} if known else {})
        sides = passes.run_passes(bench, {"base": "b", "patched": "p"}, SimpleNamespace(path=Path()), Silent())
        return compare(sides["base"], sides["patched"]).tests[0], sides

    def test_without_a_history_three_attempts_decide(self):
        test, _ = self.run("p", "f", known=None)
        assert len(self.asked) == 3
        assert test.blamed

    def test_a_known_one_that_goes_on_failing_is_blamed_after_six(self):
        test, sides = self.run("p", "f")
        assert [attempt for attempt, _ in self.asked] == [1, 2, 3, 4, 5, 6]
        assert test.blamed
        assert [each.extra for each in sides["patched"].results] == [False] * 3 + [True] * 3

    def test_a_known_one_that_passes_is_flaky_and_not_tried_again(self):
        test, _ = self.run("p", "ffffp")
        assert len(self.asked) == 5
        assert test.change is Change.FLAKY

    def test_a_crash_is_not_tried_again(self):
        test, _ = self.run("p", "ffcp")
        assert len(self.asked) == 3
        assert test.blamed

    def test_a_crash_in_an_extra_attempt_ends_them_and_is_blamed(self):
        test, _ = self.run("p", "fffcp")
        assert len(self.asked) == 4
        assert test.blamed
        assert C in test.patched_outcomes

    def test_a_machine_that_loses_it_does_not_go_on_for_ever(self):
        test, _ = self.run("p", "fffl")
        assert len(self.asked) == 4
        assert test.blamed

    def test_who_wants_no_repetitions_gets_none(self):
        test, _ = self.run("p", "f", reruns=0)
        assert len(self.asked) == 1
        assert test.blamed


def test_a_report_is_told_of_what_differs_alone():
    comparison = compare(side_of("base", t="p", u="p", v="pf"), side_of("patched", t="p", u="f", v="p"))
    known = {name: replace(T_FLAKES, test=name) for name in "tuvw"}
    assert [each.test for each in remarkable(comparison, known)] == ["u", "v"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("kl"), st.text("pfcs", min_size=1, max_size=4))))
def test_a_flake_has_both_endings_on_some_kernel(runs):
    found = flake_of("t", [BaseRun(kernel, "2026", tuple(OUTCOMES[each] for each in text)) for kernel, text in runs])
    both = [
        kernel
        for kernel in "kl"
        if (every := "".join(text for name, text in runs if name == kernel)) and "p" in every and set(every) & set("fc")
    ]
    assert (found is not None) == bool(both)
    if found:
        assert 1 <= found.flaky <= found.runs <= len(runs)
        assert found.bad_at_first <= found.flaky
