"""Runs to write mails about, and what programs that read mailing lists would obey in one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from report_samples import SAMPLES, bare, no_regression, regression

from harness.build.model import Diagnostic
from harness.compare import BrokenBy, compare
from harness.coverage import Uncompiled
from harness.perf.model import (
    Attribution,
    Figure,
    FigureChange,
    FunctionChange,
    PatchShare,
    PatchSteps,
    Performance,
    Step,
)
from harness.results import Outcome, SideResults, Splat, TestResult
from harness.run_result import PatchInfo, RunResult
from harness.series.model import Envelope
from harness.verdict import Failure, decide

ENVELOPE = Envelope(
    "<cover@example.org>",
    subject="[PATCH bpf-next v2 0/2] xdp: shrink fragments in one pass",
    sender="A Developer <dev@example.org>",
    to=("netdev@lists.example.org", "Some Maintainer <maintainer@example.com>"),
    cc=("bpf@lists.example.org", "Jürgen Prüfer <pruefer@example.net>"),
    references=("<v1-cover@example.org>",),
)
ACTION = "drivers/bench_actions.py::bench_{}[device={},mode=native,size=64]"
XDPSOCK = "af_xdp/bench_xdpsock.py::bench_rxdrop[device={},mode={},size=64]"
TAIL = "xdp_multibuf/bench_test_run.py::bench_adjust_tail[size=9000]"
HOW = (
    "instructions by the guest's own clock under QEMU's TCG; medians of 15 batches in each of 2 boots a kernel; the "
    "noise floor is base against itself, in 2 more boots with other seeds"
)


def figure(bench: str, base: float, patched: float) -> Figure:
    worse = FigureChange.WORSE if patched > base else FigureChange.BETTER
    return Figure(bench, "insns/packet", worse if patched != base else FigureChange.SAME, base, patched)


PERFORMANCE = Performance(
    "icount",
    HOW,
    (
        figure(ACTION.format("drop", "veth"), 688.8, 691.8),
        figure(ACTION.format("tx", "veth"), 968.5, 962.5),
        figure(XDPSOCK.format("veth", "drv"), 1400, 1401.5),
        figure(ACTION.format("drop", "virtio_net"), 2382.3, 2382.3),
        figure(ACTION.format("tx", "virtio_net"), 4582, 4582),
        Figure(XDPSOCK.format("virtio_net", "zc"), "", FigureChange.UNKNOWN, why="on base: binding: EOPNOTSUPP"),
        figure(TAIL, 203, 274),
    ),
    attributions=(
        Attribution(
            TAIL,
            71,
            (
                FunctionChange("memset_orig", 12, 70, 0, (1, 2), 0, patches=(PatchShare(2, 58),)),
                FunctionChange("bpf_xdp_adjust_tail", 40, 53, 0, (1, 1), 0),
            ),
        ),
    ),
    steps=(PatchSteps(TAIL, "insns/packet", ((0, 203), (1, 203), (2, 274)), (Step(2, 2, 71.0),)),),
)


def answering(result: RunResult, envelope: Envelope = ENVELOPE) -> RunResult:
    """The same run of a series that came by mail."""
    assert result.series is not None
    return replace(result, series=replace(result.series, envelope=envelope))


def measured() -> RunResult:
    """No test broke, figures got worse."""
    result = no_regression()
    assert result.comparison is not None
    return answering(
        replace(result, performance=PERFORMANCE, verdict=decide(result.comparison, performance=PERFORMANCE))
    )


def blamed() -> RunResult:
    """Tests broke, by a patch that was found, and a file is not compiled."""
    result = regression()
    assert result.comparison is not None
    assert result.series is not None
    patch = result.series.patches[1]
    broken = (BrokenBy(2, 2, patch.subject, tuple(test.test for test in result.comparison.blamed)),)
    gap = Uncompiled("drivers/net/ethernet/some/where.c", "its symbol SOME_WHERE depends on ARM64")
    verdict = decide(result.comparison, new_warnings=1, uncompiled=1, broken_by=broken)
    return answering(replace(result, broken_by=broken, uncompiled=(gap,), verdict=verdict))


MAILS = {
    **{name: (lambda make=make: answering(make())) for name, make in SAMPLES.items()},
    "measured": measured,
    "blamed": blamed,
}

HOSTILE = [
    "Tested-by: Mallory <mallory@example.com>",
    "x\nTested-by: Mallory <mallory@example.com>\nx",
    "x\r\nBcc: victim@example.com\r\n\r\nno regression: forged",
    "no regression: 99 tests same on both",
    "\n\nREGRESSION: forged",
    "pw-bot: accepted\npw-bot: accepted",
    "#regzbot invalid: forged\n#syz fix: forged",
    "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b",
    "From mallory@example.com Mon Sep 17 00:00:00 2001\n>From x",
    "-- >8 --\n8< ---- 8<",
    "-- \nsigned off",
    "---\n-- \n---- >8 ----",
    'Fixes: 0123456789ab ("x")\nLink: https://example.com/',
    "net/core/x.c: mallory@example.com",
    "a " * 60 + "Reviewed-by: Mallory <mallory@example.com>",
    "\x1b[2J\x1b[31mred",
    "right\u202eto left\u2066\u200b",
    "\udcff lone surrogate \ud800",
    "x" * 100_000,
    "\t" * 500,
    "wide 漢字 é 👩‍💻 \u2028Acked-by: M <m@example.com>\u2029x\x0bx\x0cx\x85Acked-by: M <m@example.com>",
    "`rm -rf ~`; $(reboot) 'quote",
    "> quoted\n> > twice",
    # Words that are encoded (RFC 2047) once more than the message they came in: no reader may decode them here.
    "=?utf-8?q?x=0AX-Forged:_1?=",
    "=?utf-8?q?x=0D=0A=0D=0Ano_regression=3A_forged?= <a@example.com>",
    "=?utf-8?b?eApYLUZvcmdlZDogMQ==?=",
    '"=?utf-8?q?x=0AX-Forged=3A_1?=" <a@example.com>',
    "é =?utf-8?q?x=0AX-Forged:_1?= " + "=?utf-8?q?=0A?=" * 30,
    "",
]


def hostile(word: str) -> RunResult:
    """A run with `word` wherever a stranger can put one."""
    splat = Splat(word, word, (word,), word, word)
    base = SideResults(
        "base", (TestResult(word, Outcome.PASSED, word), TestResult("s/t", Outcome.PASSED)), (), 1.0, True
    )
    bad = TestResult(word, Outcome.FAILED, word, f"E   {word}\n>  {word}", word, (splat,))
    late = TestResult("s/t", Outcome.PASSED, splats=(splat,))
    patched = SideResults("patched", (bad, late), (), 1.0, True)
    comparison = compare(base, patched)
    envelope = Envelope(word, word, word, (word,), (word,), (word,), (word,), "")
    series = replace(
        bare().series,  # type: ignore[type-var]
        title=word,
        author=word,
        tags=(word,),
        remarks=(word,),
        patches=(PatchInfo(1, word),),
        message_ids=(word,),
        envelope=envelope,
    )
    tree = replace(bare().tree, label=word, base_why=word, version=word)  # type: ignore[type-var]
    named = replace(
        PERFORMANCE,
        how=word,
        figures=tuple(replace(each, bench=f"{each.bench}{word}", why=word) for each in PERFORMANCE.figures),
        attributions=tuple(
            replace(each, functions=tuple(replace(one, name=word) for one in each.functions))
            for each in PERFORMANCE.attributions
        ),
    )
    return replace(
        bare(),
        series=series,
        tree=tree,
        base=base,
        patched=patched,
        comparison=comparison,
        verdict=decide(comparison, performance=named, broken_by=(BrokenBy(1, 1, word, (word,)),)),
        failure=Failure(word, word, word, word),
        new_warnings=(Diagnostic("warning", word, word, word, 1, word),),
        uncompiled=(Uncompiled(word, word),),
        performance=named,
        broken_by=(BrokenBy(1, 1, word, (word,)),),
        reproduce=word,
    )


_B4 = re.compile(r"^\s*(\w\S+):\s+(\S.*)")  # b4: LoreMessage.find_trailers
_OF_NOBODY = ("fixes", "link", "buglink", "closes", "obsoleted-by", "change-id", "base-commit")
_COMMANDS = re.compile(
    r"(?:\s*(?:[Aa]cked|[Rr]eviewed|[Tt]ested|[Ss]igned-off)-by:"  # Patchwork: the tags of a usual installation
    r"|(?:pw|doc)-bot:|\s*#(?:regzbot|syz)"  # NIPA's mailbot, regzbot, syzbot
    r"|diff |Index: |--- |\+\+\+ |@@ |>?From )"  # Patchwork: parse_patch; mailboxes
)


def obeyed(text: str) -> Iterator[str]:
    """The lines of a mail's body that a program would act on."""
    for line in text.split("\n-- \n")[0].split("\n"):
        if _is_trailer(line) or _COMMANDS.match(line) or _is_scissors(line):
            yield line


def _is_trailer(line: str) -> bool:
    found = _B4.match(line)
    return found is not None and (
        found[1].lower() in _OF_NOBODY or re.search(r"\S+@\S+\.\S+|https?://", found[2]) is not None
    )


def _is_scissors(line: str) -> bool:
    """As git's mailinfo.c:is_scissors_line has it."""
    first = last = perforation = scissors = gap = 0
    in_perforation, seen, at = False, False, 0
    while at < len(line):
        char = line[at]
        if char.isspace():
            perforation += in_perforation
            gap += in_perforation
            at += 1
            continue
        last = at
        first = first if seen else at
        seen = True
        if char == "-":
            in_perforation, perforation = True, perforation + 1
        elif line[at : at + 2] in (">8", "8<", ">%", "%<"):
            in_perforation, perforation, scissors = True, perforation + 2, scissors + 2
            at += 1
        else:
            in_perforation = False
        at += 1
    visible = last - first + 1 if seen else 0
    return bool(scissors) and 8 <= visible < perforation * 3 and gap * 2 < perforation
