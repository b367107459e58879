"""Why two runs came to different ends: what differs in what went into them, the likeliest reason first. Pure.

How likely a difference explains another outcome is judged by what the outcomes differ in: a slow machine explains a
deadline that passed and no assertion; a compiler explains nothing where both kernels are the same code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.outcomes_apart import Apart, outcomes_apart
from harness.plan import option_of
from harness.run_result import Environment, RunResult
from harness.verdict import VerdictKind

__all__ = ["Difference", "Explanation", "Likelihood", "explain_difference"]


class Likelihood(StrEnum):
    """Whether a difference is why the outcomes differ. In the order of reports."""

    LIKELY = "likely"
    POSSIBLE = "possible"
    UNLIKELY = "unlikely"


@dataclass(frozen=True)
class Difference:
    """One thing that differs. a, b: what each run had. why: what such a difference does, as a clause.

    details: lines that say more, each `A -> B`.
    """

    what: str
    a: str
    b: str
    likelihood: Likelihood
    why: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """Two runs side by side. conclusion: one sentence."""

    a: RunResult
    b: RunResult
    apart: Apart
    differences: tuple[Difference, ...]
    conclusion: str


def explain_difference(a: RunResult, b: RunResult, symbols: Mapping[str, Sequence[str]] | None = None) -> Explanation:
    """What differs between two runs, ordered by how likely it explains that their outcomes do.

    symbols: by side, the settings of the configurations that differ, where both are at hand.
    """
    apart = outcomes_apart(a, b)
    found = [
        *_series(a, b, apart),
        *_base(a, b, apart),
        *_asked(a, b, apart),
        *_allowed(a, b, apart),
        *_suites(a, b, apart),
    ]
    found += [*_configuration(a, b, apart, symbols or {}), *_toolchain(a, b, apart), *_machine(a, b, apart)]
    order = list(Likelihood)
    found.sort(key=lambda difference: order.index(difference.likelihood))
    return Explanation(a, b, apart, tuple(found), _conclusion(apart, found))


def _difference(
    what: str, values: Iterable[str], likelihood: Likelihood, why: str, details: tuple[str, ...] = ()
) -> Difference:
    """values: what each of the two runs had."""
    a, b = values
    return Difference(what, a, b, likelihood, why, details)


def _conclusion(apart: Apart, found: Sequence[Difference]) -> str:
    likely = [difference.what for difference in found if difference.likelihood is Likelihood.LIKELY]
    if not apart.any:
        return "Both came to the same end." + (f" They differ in {_listed(likely)}." if likely else "")
    if likely:
        return f"They differ in {_listed(likely)}: begin there."
    if apart.only and not apart.sides:
        return "They did not run the same tests, and nothing that is recorded says why."
    if found:
        return "Nothing that differs makes another outcome likely: something may flake. Repeat one of them."
    return "Nothing that is recorded differs: the same inputs came to two ends, so something in them flakes."


def _listed(names: Sequence[str]) -> str:
    """The first three, and how many more."""
    if len(names) > 3:
        names = [*names[:3], f"{len(names) - 3} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _series(a: RunResult, b: RunResult, apart: Apart) -> Iterator[Difference]:
    if a.series is None or b.series is None:
        return
    trees = [run.tree.patched_tree if run.tree else "" for run in (a, b)]
    bases = [run.tree.base_tree if run.tree else "" for run in (a, b)]
    if all(trees) and trees[0] == trees[1] and bases[0] == bases[1]:
        return
    old, new = a.series, b.series
    likely = Likelihood.UNLIKELY if apart.on_base_alone else Likelihood.LIKELY
    if old.version != new.version or old.title != new.title:
        named = (f"{each.title} v{each.version}" if each.version > 1 else each.title for each in (old, new))
        yield _difference("series", named, likely, "it is another series that was tried")
    changed = tuple(_patches(a, b))
    if changed:
        count = (f"{len(each.patches)} patches" for each in (old, new))
        yield _difference("patches", count, likely, "they change other lines", changed)


def _patches(a: RunResult, b: RunResult) -> Iterator[str]:
    """A line for each patch that is not in both. Without digests (an older ktrial's) the subject must do."""
    assert a.series is not None
    assert b.series is not None
    known = all(patch.digest for run in (a.series, b.series) for patch in run.patches)
    keys = [[patch.digest if known else patch.subject for patch in run.patches] for run in (a.series, b.series)]
    places = range(max(map(len, keys)))
    for place in places:
        one, other = (keys[side][place] if place < len(keys[side]) else None for side in (0, 1))
        if one == other:
            continue
        subjects = [run.patches[place].subject if place < len(run.patches) else "-" for run in (a.series, b.series)]
        yield f"{place + 1}: {subjects[0]} -> {'another diff' if subjects[0] == subjects[1] else subjects[1]}"


def _base(a: RunResult, b: RunResult, apart: Apart) -> Iterator[Difference]:
    if a.tree is None or b.tree is None or a.tree.base_commit == b.tree.base_commit:
        return
    shown = (f"{tree.base_commit[:12]} ({tree.version}, {tree.label})" for tree in (a.tree, b.tree))
    if a.tree.base_tree and a.tree.base_tree == b.tree.base_tree:
        yield _difference("base", shown, Likelihood.UNLIKELY, "the commits differ, and their files are the same")
        return
    reasons = f"{a.tree.base_why} -> {b.tree.base_why}"
    details = (reasons,) if a.tree.base_why != b.tree.base_why else ()
    yield _difference("base", shown, _of_kernel(apart), "the kernel beneath the series is another", details)


def _of_kernel(apart: Apart) -> Likelihood:
    """Another kernel does something else in the same tests; it is no reason to run others."""
    return Likelihood.POSSIBLE if apart.only and not apart.kernels_did else Likelihood.LIKELY


_CHOOSING = ("keyword", "tests", "suites", "no_base", "revision", "fuzz_minutes", "quick", "perf")
# fmt: off
_ELSEWHERE = frozenset({
    "accelerator", "allow_splats", "base", "boot_deadline", "config_base", "cpus", "fragments", "instrument", "llvm",
    "memory_mib", "reruns", "test_deadline", "tree", "vms",
})
# fmt: on
"""Options whose effect is told of by itself."""


def _asked(a: RunResult, b: RunResult, apart: Apart) -> Iterator[Difference]:
    """Options that were chosen for one of them."""
    if not (a.environment.processors and b.environment.processors):
        return  # a ktrial that did not record the processors recorded no options either
    one, other = dict(a.asked), dict(b.asked)
    for name in dict.fromkeys((*one, *other)):
        if name in _ELSEWHERE or one.get(name) == other.get(name):
            continue
        chooses = name in _CHOOSING
        likely = Likelihood.LIKELY if chooses and (apart.only or apart.kinds) else Likelihood.POSSIBLE
        why = "it chooses what is run" if chooses else "it was asked for"
        yield Difference(option_of(name), one.get(name, "not given"), other.get(name, "not given"), likely, why)


def _allowed(a: RunResult, b: RunResult, apart: Apart) -> Iterator[Difference]:
    """Lists of splats that fail no test."""
    if [each.digest for each in a.allow_splats] == [each.digest for each in b.allow_splats]:
        return
    excused = _excused(a) | _excused(b)
    in_boots = any(boot.excused for run in (a, b) for side in (run.base, run.patched) if side for boot in side.boots)
    concerned = bool(excused & set(apart.tests)) or (apart.kinds and (bool(excused) or in_boots))
    likely = Likelihood.LIKELY if concerned else Likelihood.UNLIKELY
    why = "what one list allows fails tests without it" if concerned else "no test that differs had an allowed splat"
    named = (", ".join(map(str, run.allow_splats)) or "none" for run in (a, b))
    yield _difference("allowed splats", named, likely, why)


def _excused(run: RunResult) -> set[str]:
    """The tests that an allowed splat was seen in."""
    sides = (side for side in (run.base, run.patched) if side)
    return {result.test for side in sides for result in side.results if result.excused}


def _suites(a: RunResult, b: RunResult, apart: Apart) -> Iterator[Difference]:
    one, other = ({suite.name: suite.digest for suite in run.suites} for run in (a, b))
    if one.keys() != other.keys():
        likely = Likelihood.LIKELY if apart.only or apart.kinds else Likelihood.POSSIBLE
        yield Difference("suites", ", ".join(one), ", ".join(other), likely, "other tests were run")
    differing = [name for name in one if name in other and one[name] != other[name] and one[name] and other[name]]
    if differing:
        suites = {each.partition("/")[0] for each in (*apart.tests, *apart.only)}
        likely = Likelihood.LIKELY if suites & set(differing) else Likelihood.UNLIKELY
        digests = (", ".join(f"{name} {run[name][:12]}" for name in differing) for run in (one, other))
        yield _difference("version of the tests", digests, likely, "the tests themselves are not the same")


def _configuration(
    a: RunResult, b: RunResult, apart: Apart, symbols: Mapping[str, Sequence[str]]
) -> Iterator[Difference]:
    if a.config is None or b.config is None:
        return
    likely = Likelihood.UNLIKELY if apart.same_code else _of_kernel(apart)
    why = "but both kernels are the same code" if apart.same_code else "it compiles another kernel"
    one, other = a.config, b.config
    made = [f"{config.config_base} + {', '.join(config.fragments)}" for config in (one, other)]
    contents = [dict(zip(config.fragments, config.fragment_digests, strict=False)) for config in (one, other)]
    rewritten = tuple(
        f"{name} has other settings"
        for name in contents[0]
        if contents[1].get(name, contents[0][name]) != contents[0][name]
    )
    if made[0] != made[1] or rewritten:
        yield _difference("fragments", made, likely, why, rewritten)
    changed = {
        side: (pair, tuple(symbols.get(side, ())))
        for side, pair in (
            ("base", (one.base_digest, other.base_digest)),
            ("patched", (one.patched_digest, other.patched_digest)),
        )
        if pair[0] != pair[1]
    }
    both_alike = len(changed) == 2 and changed["base"] == changed["patched"]
    for side, (pair, details) in changed.items():
        if not (both_alike and side == "patched"):
            what = "configuration" if both_alike else f"configuration of {side}"
            yield _difference(what, (each[:12] for each in pair), likely, why, details)


def _toolchain(a: RunResult, b: RunResult, apart: Apart) -> Iterator[Difference]:
    if apart.same_code:
        likely, why = Likelihood.UNLIKELY, "but both kernels are the same code"
    else:
        unbuilt = VerdictKind.DOES_NOT_BUILD in (a.verdict.kind, b.verdict.kind)
        likely = Likelihood.LIKELY if apart.figures or (unbuilt and apart.kinds) else Likelihood.POSSIBLE
        why = "it compiles other instructions"
    found = list(_fields(a, b, {"compiler": why, "linker": why, "pahole": "it writes the kernel's BTF"}, likely))
    yield from found
    yield from _fields(a, b, {"clang": "it compiles the tests' BPF programs"}, Likelihood.POSSIBLE)
    for side, digests in apart.other_code.items():
        if not found and _same_inputs(a, b, side):
            why = "both were built from the same files, configuration and toolchain"
            yield _difference(f"code of {side}", (each[:12] for each in digests), Likelihood.LIKELY, why)


def _same_inputs(a: RunResult, b: RunResult, side: str) -> bool:
    if a.tree is None or b.tree is None or a.config is None or b.config is None:
        return False
    trees = [getattr(run.tree, f"{side}_tree") for run in (a, b)]
    digests = [getattr(run.config, f"{side}_digest") for run in (a, b)]
    return bool(trees[0]) and trees[0] == trees[1] and digests[0] == digests[1]


def _machine(a: RunResult, b: RunResult, apart: Apart) -> Iterator[Difference]:
    """What ran the guests, and how busy it was."""
    timely = Likelihood.LIKELY if apart.timely else Likelihood.UNLIKELY
    measured = Likelihood.LIKELY if apart.figures else Likelihood.POSSIBLE
    by_accelerator = Likelihood.LIKELY if apart.timely or apart.figures else Likelihood.POSSIBLE
    yield from _fields(a, b, {"accelerator": "guests are 3 to 20 times slower without KVM"}, by_accelerator)
    if a.environment.instrument and b.environment.instrument:
        yield from _fields(
            a, b, {"instrument": "it reads another thing", "perf_seeds": "a seed shifts figures"}, measured
        )
    yield from _fields(a, b, {"seed": "other cases were generated"}, _of_seed(apart))
    late = "a test that runs out of time is ended"
    yield from _fields(a, b, {"test_deadline": late, "boot_deadline": late}, timely)
    yield from _load(a, b, timely)
    guests = "guests have more or less of it"
    yield from _fields(a, b, {"guest_cpus": guests, "guest_memory_mib": guests}, Likelihood.POSSIBLE)
    yield from _fields(a, b, {"vms": "so many guests at once share the processors"}, timely)
    attempts = Likelihood.LIKELY if apart.flaky else Likelihood.UNLIKELY
    yield from _fields(a, b, {"attempts": "a flaky test is found out by its attempts"}, attempts)
    yield from _fields(a, b, {"qemu": "it emulates the guest"}, measured)
    yield from _fields(a, b, {"virtme_ng": "it boots the guest"}, Likelihood.POSSIBLE)
    judged = Likelihood.LIKELY if apart.kinds and not apart.tests else Likelihood.POSSIBLE
    yield from _fields(a, b, {"ktrial": "it runs the tests and judges them"}, judged)
    host = dict.fromkeys(("processor", "processors", "memory_mib"), "the host is another")
    yield from _fields(a, b, host, timely if apart.timely else Likelihood.UNLIKELY)
    beside = dict.fromkeys(("python", "host", "distribution"), "it is beneath the guests")
    yield from _fields(a, b, beside, Likelihood.UNLIKELY)


def _of_seed(apart: Apart) -> Likelihood:
    fuzzing = any("fuzz" in test for test in (*apart.tests, *apart.only))
    return Likelihood.LIKELY if fuzzing else Likelihood.UNLIKELY


_NAMES = {
    "virtme_ng": "virtme-ng",
    "qemu": "QEMU",
    "vms": "guests at once",
    "guest_memory_mib": "memory of a guest",
    "guest_cpus": "processors of a guest",
    "memory_mib": "memory of the host",
    "perf_seeds": "QEMU's seeds",
    "host": "kernel of the host",
}


def _fields(a: RunResult, b: RunResult, why: Mapping[str, str], likelihood: Likelihood) -> Iterator[Difference]:
    """Fields of the environment that differ, where both runs know them."""
    for name, reason in why.items():
        one, other = (_shown(run.environment, name) for run in (a, b))
        if one != other and one and other:
            yield Difference(_NAMES.get(name, name.replace("_", " ")), one, other, likelihood, reason)


def _shown(environment: Environment, name: str) -> str:
    value = getattr(environment, name)
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:g}" if value else ""
    return str(value) if value else ""


_BUSIER = 0.5  # tasks for each processor more than the other had


def _load(a: RunResult, b: RunResult, likelihood: Likelihood) -> Iterator[Difference]:
    """How busy the hosts were before the trials began; what a trial itself makes of it is no difference."""
    loads = [_per_processor(run.environment) for run in (a, b)]
    if loads[0] is None or loads[1] is None or abs(loads[0] - loads[1]) < _BUSIER:
        return
    shown = (f"{run.environment.load_before:g} on {run.environment.processors} processors" for run in (a, b))
    yield _difference("load of the host", shown, likelihood, "a busy host makes guests slow")


def _per_processor(environment: Environment) -> float | None:
    if environment.load_before is None or not environment.processors:
        return None
    return environment.load_before / environment.processors
