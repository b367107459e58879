"""Plant instructions in the kernel, one, two, five and twenty: is each found, in its function, from its patch?

    python -m bench.sensitivity [--rotations 4]

Four patches to four files (net/bpf/test_run.c, net/core/filter.c, drivers/net/veth.c, net/xdp/xsk.c) each add so many
nops to the path of a packet; a rotation gives each file another number. A figure has to differ by what was planted on
its path, to its noise, and by nothing else. A fifth series moves code about, aligns a function and renames one: all
benches of the suites have to come out as no change. A single instruction counts (`[perf] units = 1`), which by default
it does only where it is half a percent. Exits with 1 if a figure, a function or a patch is another than planted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.kernels import untested
from harness.perf.model import Attribution, FigureChange, Performance
from harness.places import cache_dir
from harness.report.json import read_result

_COUNTS = (1, 2, 5, 20)
_EQUAL = 0.05  # insns: a tick in one batch of fifteen is less
_BENCHES = "(get_buff_len and 1500) or (veth and native and 64 and (bench_drop or redirect_socket))"
_SUITES = ("xdp_multibuf", "drivers")


@dataclass(frozen=True)
class Place:
    """Where nops go. before, after: the lines around them. bench: part of the name of one that runs them once a packet.

    functions: what may hold them once the compiler has inlined as it likes.
    """

    path: str
    line: int
    before: tuple[str, ...]
    after: tuple[str, ...]
    bench: str
    functions: tuple[str, ...]


PLACES = (
    Place(
        "net/bpf/test_run.c",
        429,
        ("\t\tbpf_net_ctx = bpf_net_ctx_set(&__bpf_net_ctx);", ""),
        ("\t\tif (xdp)", "\t\t\t*retval = bpf_prog_run_xdp(prog, ctx);", "\t\telse"),
        "get_buff_len",
        ("bpf_test_run",),
    ),
    Place(
        "net/core/filter.c",
        3997,
        ("BPF_CALL_1(bpf_xdp_get_buff_len, struct xdp_buff*, xdp)", "{"),
        ("\treturn xdp_get_buff_len(xdp);", "}"),
        "get_buff_len",
        ("bpf_xdp_get_buff_len",),
    ),
    Place(
        "drivers/net/veth.c",
        654,
        ("\t\tvxbuf.skb = NULL;", ""),
        ("\t\tact = bpf_prog_run_xdp(xdp_prog, xdp);", "", "\t\tswitch (act) {"),
        "bench_drop",
        ("veth_xdp_rcv_one", "veth_xdp_rcv", "veth_poll"),
    ),
    Place(
        "net/xdp/xsk.c",
        416,
        ("\tint err;", ""),
        ("\terr = xsk_rcv(xs, xdp);", "\tif (err)", "\t\treturn err;"),
        "redirect_socket",
        ("__xsk_map_redirect",),
    ),
)
# The same instructions in other places: a helper below another one, and a static function with another name.
_MOVED = Path(__file__).resolve().parent / "moves-code.mbox"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rotations", type=int, default=1, choices=range(5), help="series of nops to try")
    options = parser.parse_args()
    wrong = 0
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sensitivity-", dir=cache_dir()) as name:
        settings = Path(name) / "config.toml"
        settings.write_text("[perf]\nunits = 1\n")
        os.environ["KTRIAL_CONFIG"] = str(settings)
        for rotation in range(options.rotations):
            counts = (*_COUNTS[rotation:], *_COUNTS[:rotation])
            series = Path(name) / f"nops-{rotation}.mbox"
            series.write_text("".join(_series(counts)))
            wrong += _compared(counts, _measured(series, Path(name) / f"run-{rotation}", "-k", _BENCHES))
        wrong += _unmoved(_measured(_MOVED, Path(name) / "run-moves"))
    print(f"{wrong} of what was planted came out as something else")
    return 1 if wrong else 0


def _series(counts: Sequence[int]) -> Iterator[str]:
    for number, (place, count) in enumerate(zip(PLACES, counts, strict=True), 1):
        yield (
            f"From {number:040x} Mon Sep 17 00:00:00 2001\nMessage-Id: <nops.{number}@example.org>\n"
            "From: Kernel Developer <dev@example.org>\nDate: Mon, 2 Jun 2025 10:10:00 +0000\n"
            f"Subject: [PATCH {number}/{len(PLACES)}] {place.path}: {count} instructions more\n\nThey do nothing.\n\n"
            f"Signed-off-by: Kernel Developer <dev@example.org>\n---\n{_diff(place, count)}-- \n2.39.5\n\n"
        )


def _diff(place: Place, count: int) -> str:
    around = len(place.before) + len(place.after)
    hunk = f"@@ -{place.line},{around} +{place.line},{around + 1} @@"
    lines = [f" {line}" for line in place.before]
    lines += [f'+\tasm volatile(".rept {count}; nop; .endr");']
    lines += [f" {line}" for line in place.after]
    head = f"diff --git a/{place.path} b/{place.path}\n--- a/{place.path}\n+++ b/{place.path}\n"
    return head + "\n".join((hunk, *lines, ""))


def _measured(series: Path, out: Path, *choice: str) -> Performance:
    """A trial of the series with its benches; no tests, for there is nothing to break."""
    suites = [word for suite in _SUITES for word in ("--suite", suite)]
    told = out.with_suffix(".json")
    subprocess.run(untested(str(series), out, told, "--perf", *suites, *choice), stdout=subprocess.DEVNULL, check=False)
    result = read_result(told)
    if result.performance is None:
        sys.exit(f"{series.name} was not measured: {result.verdict.line}")
    return result.performance


def _compared(counts: Sequence[int], performance: Performance) -> int:
    """Print what was planted and what was found; how many are not as they should be."""
    wrong = 0
    for number, (place, count) in enumerate(zip(PLACES, counts, strict=True), 1):
        found = [each for each in performance.attributions if place.bench in each.bench]
        changes = [change for each in found for change in each.functions if change.name in place.functions]
        right = bool(changes) and all(
            round(change.delta, 1) == count and [share.number for share in change.patches] == [number]
            for change in changes
        )
        for odd in (each for each in found if not _is_as_planted(each, performance)):
            print(f"WRONG  {odd.bench}: it differs by {odd.delta:+.3f} in all", flush=True)
            right = False
        wrong += not right
        told = ", ".join(
            f"{change.name} {change.delta:+.3f} from patch {[share.number for share in change.patches]}"
            for change in changes
        )
        print(f"{'found' if right else 'WRONG'}  +{count:<3d} {place.path:22s} {told or 'nothing'}", flush=True)
    return wrong


def _is_as_planted(attribution: Attribution, performance: Performance) -> bool:
    """Whether a figure differs by the instructions of the patches, and by no others."""
    planted = sum(share.insns for change in attribution.functions for share in change.patches)
    (figure,) = (each for each in performance.figures if each.bench == attribution.bench)
    return abs(figure.delta - planted) <= max(figure.noise, _EQUAL)


def _unmoved(performance: Performance) -> int:
    """A change of any figure by code that only moved is wrong; so is one that only one of the kernels gives."""
    had = [figure for figure in performance.figures if (figure.base, figure.patched) != (None, None)]
    changed = [figure for figure in had if figure.change is not FigureChange.SAME]
    for figure in changed:
        print(f"WRONG  moved code: {figure.bench} {figure.change} {figure.delta:+.3f} {figure.why}")
    if had and not changed:
        lacking = len(performance.figures) - len(had)
        print(f"found  +0   moved code: {len(had)} figures the same, {lacking} not to be had")
    return len(changed) if had else 1


if __name__ == "__main__":
    sys.exit(main())
