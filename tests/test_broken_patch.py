"""The patch that breaks the build is named once, with the error and no guess beside it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from harness import broken_patch, trial
from harness.build import SeriesBuildError, Toolchain
from harness.errors import MachineLost
from harness.plan import Invocation
from harness.store import RunFolder
from harness.tree import Applied, AppliedPatch, Base, BaseReason
from harness.verdict import failed_verdict

SAID = "net/core/xdp.c:471: implicit declaration of function 'count'"


def error(target="net/core/xdp.o") -> SeriesBuildError:
    guess = "patch 3/3 (xdp: use it) touches net/core/xdp.c"
    summary = f"the patched kernel does not build: {SAID} ({guess})"
    return SeriesBuildError(summary, diagnostic=None, target=target, patch="", said=SAID, detail="d", log=Path("l"))


def named(monkeypatch, found, which=None) -> SeriesBuildError:
    """What comes of an error, where the search ends with `found`: a patch's number, or what it raises."""

    def first_broken(*_, **__):
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(broken_patch, "first_broken", first_broken)
    base = Base("0" * 40, "tree", BaseReason.HEAD, "it is HEAD", "6.12")
    patches = tuple(AppliedPatch(n, f"xdp: change {n}", str(n), (), "clean") for n in (1, 2, 3))
    return broken_patch.with_broken_patch(
        which or error(),
        Applied(base, patches, "3", "tree", ()),
        base=object(),
        toolchain=None,
        after=None,
        work=Path(),
        deadline=1.0,
        say=lambda _: None,
    )


def test_the_patch_and_the_error_are_told_once(monkeypatch):
    found = named(monkeypatch, 2)
    assert found.summary == f"patch 2/3 (xdp: change 2) does not build: {SAID}"
    assert failed_verdict(found).line == f"DOES NOT BUILD: patch 2/3 (xdp: change 2): {SAID}"
    assert (found.detail, found.log, found.patch) == ("d", Path("l"), "xdp: change 2")


@pytest.mark.parametrize("found", [MachineLost("the disk is full"), 2])
def test_without_a_search_the_guess_stands(monkeypatch, found):
    known = error() if isinstance(found, Exception) else error(target="")
    assert named(monkeypatch, found, known) is known
    assert failed_verdict(known).line == f"DOES NOT BUILD: {SAID} (patch 3/3 (xdp: use it) touches net/core/xdp.c)"


def test_a_build_is_noted_with_how_it_ended(monkeypatch, tmp_path):
    def build_kernel(**given):
        if given["side"] == "patched":
            raise error()
        return given["side"]

    monkeypatch.setattr(trial, "build_kernel", build_kernel)
    base = Base("0" * 40, "tree", BaseReason.HEAD, "it is HEAD", "6.12")
    under_way = trial.Trial(RunFolder(tmp_path), Invocation("s", "/"), base=base, applied=Applied(base, (), "", "", ()))
    under_way.toolchain = Toolchain(False, "gcc", "ld", "", False, "0")
    with contextlib.ExitStack() as hold:
        assert under_way._kernel("base", None, None, hold) == "base"
        with pytest.raises(SeriesBuildError):
            under_way._kernel("patched", None, None, hold)
    told = [line.partition(" ")[2] for line in under_way.run.events.read_text().splitlines()]
    assert told == ["build base: begins", "build base: done", "build patched: begins", "build patched: failed"]
